"""The judge CLIP: unit vectors, texts of any length, the file with its tokenizer, and the embedded judge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.models.judges.clip import ClipConfig, ClipNet, crop
from scenewright.models.judges.store import WEIGHTS, load_judge, save_judge
from scenewright.scene import Box
from scenewright.train.judge_clip import learnt_tokens
from scenewright.world import toybox
from scenewright.world.palette import COLOURS

embedded = pytest.mark.skipif(not (WEIGHTS / "clip.safetensors").is_file(), reason="weights are not here")


@pytest.fixture(scope="module")
def config():
    tokens, merges = learnt_tokens([toybox.draw(seed).scene.prompt for seed in range(40)], 700, 16)
    return ClipConfig(
        tokens=tokens,
        merges=merges,
        side_px=16,
        stem=(8, 8),
        image_width=32,
        image_layers=1,
        text_width=32,
        text_layers=1,
        window=16,
        common_width=8,
    )


@pytest.fixture(scope="module")
def net(config):
    torch.manual_seed(0)
    return ClipNet(config).eval()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in ((16, 16), (40, 30), (4, 90))]


def test_nothing_gives_no_vectors(net):
    assert net.embed_images([]).shape == (0, 8) and net.embed_texts([]).shape == (0, 8)


def test_vectors_have_length_one(net, images):
    for found in (net.embed_images(images), net.embed_texts(["a red car", "", "w" * 500, "日本"])):
        assert found.dtype == np.float32
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(len(found)), abs=1e-5)


def test_neighbours_do_not_change_a_vector(net, images):
    texts = ["a red car", "a very much longer text about a car", "car"]
    for find, things in ((net.embed_texts, texts), (net.embed_images, images)):
        together = find(things)
        for row, thing in zip(together, things, strict=True):
            assert np.allclose(row, find([thing])[0], atol=1e-5)


def test_texts_equal_the_model_of_transformers(net):
    """With an attention mask, as its own text features are made."""
    texts = ["a red car", "a blue metallic car on the road"]
    rows = net.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        pooled = net.clip.text_model(**rows).pooler_output
        wanted = torch.nn.functional.normalize(net.clip.text_projection(pooled), dim=-1)
    assert np.allclose(net.embed_texts(texts), wanted.numpy(), atol=1e-5)


def test_the_file_holds_the_tokenizer_too(net, config, images, tmp_path):
    path = save_judge(tmp_path / "mine.safetensors", net, kind="clip", config=config, labels={})
    judge = load_judge(path, kind="clip")
    assert judge.net.config == config
    texts = ["a red metallic car", "a cat on the grass"]
    assert torch.equal(judge.net.token_ids(texts), net.token_ids(texts))
    assert np.allclose(judge.net.embed_texts(texts), net.embed_texts(texts), atol=1e-2)
    assert np.allclose(judge.net.embed_images(images), net.embed_images(images), atol=1e-2)


@embedded
def test_the_embedded_judge_tells_colours():
    judge = load_judge("clip", kind="clip")
    right = []
    for seed in range(70_000, 70_030):
        drawn = toybox.draw(seed)
        for one in drawn.scene.instances:
            if one.box is None or one.box.area < 0.02:
                continue
            texts = [f"a {colour} {one.category}" for colour in COLOURS]
            vector = judge.net.embed_images([crop(drawn.image, Box(*one.box.xyxy))])[0]
            best = list(COLOURS)[int((judge.net.embed_texts(texts) @ vector).argmax())]
            right.append(best == one.extra["toybox"]["colour"])
    assert np.mean(right) >= 0.85
    assert sum(p.numel() for p in judge.net.parameters()) < 1_600_000
