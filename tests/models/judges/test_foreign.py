"""Judges of other people: transformers' detectors and CLIPs by folder, YOLOv8 as a program of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "flows"))
from coco_files import boxer, clip, segmenter

from scenewright.errors import ModelError
from scenewright.models.judges.foreign import class_names, foreign_judge, is_foreign, kind_of, load_foreign
from scenewright.models.judges.foreign_detector import LEAST
from scenewright.models.judges.yolo import COMMAND, read_labels
from scenewright.scene import Box, Mask

CPU = torch.device("cpu")
PROGRAM = """#!{python}
import pathlib, sys
said = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
assert sys.argv[1] == "predict" and said["save_txt"] == said["save_conf"] == "True", sys.argv
if "broken" in said["model"]:
    sys.exit("no such layer")
out = pathlib.Path(said["project"]) / said["name"] / "labels"
out.mkdir(parents=True)
for picture in sorted(pathlib.Path(said["source"]).glob("*.png"))[:1]:
    lines = "0 0.1 0.1 0.5 0.1 0.5 0.9 0.1 0.9 0.8\\n15 0.5 0.5 0.2 0.4 0.9\\n"
    (out / (picture.stem + ".txt")).write_text(lines)
"""


def picture(seed: int = 0, high: int = 48, wide: int = 64):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 255, (high // 8, wide // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def test_names_that_lead_to_other_people(tmp_path: Path) -> None:
    assert is_foreign("yolo:a.pt") and is_foreign(str(tmp_path)) and is_foreign("facebook/detr-resnet-50")
    assert not is_foreign("detector") and not is_foreign(__file__)
    assert kind_of({"model_type": "clip"}) == "clip"
    assert kind_of({"architectures": ["RTDetrForObjectDetection"]}) == "detector"
    assert kind_of({"architectures": ["SegformerForSemanticSegmentation"]}) is None
    assert class_names({"1": "cat", 0: "N/A", 10: "car", 2: "N/A"}) == ["cat", "car"]


def test_a_segmenter_finds_everything_down_to_low_scores(tmp_path: Path) -> None:
    """Against the network's own answers, read here in another way."""
    folder = segmenter(tmp_path / "tiny-m2f")
    card = foreign_judge(str(folder))
    assert card.kind == "detector" and card.id.startswith("tiny-m2f@") and len(card.labels["classes"]) == 80
    judge = load_foreign(card.place, card.id, card.kind, CPU)
    image = picture()
    (found,) = judge.net.findings([image])
    with torch.no_grad():
        out = judge.net.net(pixel_values=judge.net.preparation.prepare(image))
    shares = out.class_queries_logits[0].softmax(-1)[:, :-1]
    masks = out.masks_queries_logits[0]
    sure = torch.stack(
        [mask.sigmoid()[mask > 0].mean() if (mask > 0).any() else mask.new_tensor(0) for mask in masks]
    )
    scores = (shares * sure[:, None]).flatten().sort(descending=True).values[:100]
    wanted = [score for score in scores.tolist() if score >= LEAST]
    assert 0 < len(found) <= len(wanted) and found[0].score == pytest.approx(wanted[0], abs=1e-5)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(one.mask.size_hw == (48, 64) and one.box == one.mask.box() for one in found)


def test_a_detector_of_boxes_leaves_out_what_is_no_class(tmp_path: Path) -> None:
    folder = boxer(tmp_path / "tiny-yolos")
    card = foreign_judge(str(folder))
    assert list(card.labels["classes"]) == ["cat", "car"]
    found = load_foreign(card.place, card.id, card.kind, CPU).net.findings([picture(), picture(1)])
    assert len(found) == 2 and all(one.mask is None and one.category in ("cat", "car") for one in found[0])


def test_a_clip_is_that_of_transformers(tmp_path: Path) -> None:
    from transformers import CLIPImageProcessor, CLIPModel

    folder = clip(tmp_path / "tiny-clip")
    card = foreign_judge(str(folder))
    assert card.kind == "clip" and not card.labels
    net = load_foreign(card.place, card.id, card.kind, CPU).net
    image, other = picture(), picture(2, 80, 40)
    seen = net.embed_images([image, other])
    assert seen.shape == (2, 8) and np.allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
    assert net.embed_images([]).shape == (0, 8)
    texts = net.embed_texts(["a red car", "a dog and a cat on the grass"])
    assert np.allclose(net.embed_texts(["a red car"])[0], texts[0], atol=1e-5), "padding plays no part"
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    theirs = processor(image, return_tensors="pt")["pixel_values"]
    assert float((theirs - net.prepared(image)).abs().mean()) < 0.02
    with torch.no_grad():
        whole = CLIPModel.from_pretrained(folder).eval()
        pooled = whole.vision_model(pixel_values=net.prepared(image)).pooler_output
        wanted = torch.nn.functional.normalize(whole.visual_projection(pooled), dim=-1)
    assert np.allclose(wanted.numpy(), seen[:1], atol=1e-5)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that writes labels as Ultralytics' does."""
    file = tmp_path / "yolo"
    file.write_text(PROGRAM.format(python=sys.executable))
    file.chmod(0o755)
    monkeypatch.setenv(COMMAND, str(file))
    return file


def test_yolo_runs_in_a_process_of_its_own(program: Path, tmp_path: Path) -> None:
    weights = tmp_path / "yolov8m-seg.pt"
    weights.write_bytes(b"weights")
    card = foreign_judge(f"yolo:{weights}")
    assert (
        card.kind == "detector" and card.id.startswith("yolov8m-seg@") and len(card.labels["classes"]) == 80
    )
    net = load_foreign(card.place, card.id, card.kind, CPU).net
    first, second = net.findings([picture(), picture(1)])
    assert second == () and [one.category for one in first] == ["cat", "person"]
    assert first[0].box.xyxy == pytest.approx((0.4, 0.3, 0.6, 0.7)) and first[0].mask is None
    outline = [64 * 0.1, 48 * 0.1, 64 * 0.5, 48 * 0.1, 64 * 0.5, 48 * 0.9, 64 * 0.1, 48 * 0.9]
    assert first[1].mask == Mask.from_polygons([outline], (64, 48)) and first[1].score == 0.8
    assert net.findings([]) == []
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"")
    with pytest.raises(ModelError, match=r"failed \(1\): no such layer"):
        load_foreign(broken, "x", "detector", CPU).net.findings([picture()])


def test_what_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="there are no weights"):
        foreign_judge("yolo:nowhere.pt")
    weights = tmp_path / "a.pt"
    weights.write_bytes(b"")
    monkeypatch.setenv(COMMAND, "no-such-program")
    with pytest.raises(ModelError, match="there is no program 'no-such-program'"):
        load_foreign(weights, "x", "detector", CPU).net.findings([picture()])
    with pytest.raises(ModelError, match=r"no config\.json"):
        foreign_judge(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    with pytest.raises(ModelError, match="is a bert; it neither detects nor embeds"):
        foreign_judge(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(ModelError, match="has no weights"):
        foreign_judge(str(tmp_path))
    (tmp_path / "labels.txt").write_text("0 0.5 0.5\n")
    with pytest.raises(ModelError, match="line 1 is no label"):
        read_labels(tmp_path / "labels.txt", (64, 48))
    (tmp_path / "labels.txt").write_text("0 0.5 0.5 0 0 0.5\n0 0.5 0.5 1 1 0.5\n")
    (one,) = read_labels(tmp_path / "labels.txt", (64, 48))
    assert one.box == Box(0, 0, 1, 1), "an empty box is none"
