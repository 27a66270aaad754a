"""The text encoder's task: it learns to tell pictures apart; its tokenizer is an ordinary CLIPTokenizer."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_family import CPU, SMALL, generator, loop
from torch.nn import functional as nnf

from scenewright.train import Recipe, run
from scenewright.train.renders import Source
from scenewright.train.standardise import standardise
from scenewright.train.text import END, START, TextConfig, learn_tokenizer, tokenize
from scenewright.world import toybox

SOURCE = Source(name="toybox", count=60, size_wh=(64, 64))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tokenizer():
    captions = [toybox.draw(seed).scene.prompt for seed in range(200)]
    return learn_tokenizer(captions, 900, 48)


def config(cache, **changes):
    wanted = {"width": 32, "layers": 1, "heads": 2, "vocabulary": 700, "sources": (SOURCE,), "probe": 48}
    return TextConfig(**{**wanted, "cache": cache, **changes})


def prepared(cache, **changes):
    torch.manual_seed(0)
    task = config(cache, **changes).build(loop(batch_size=16))
    task.prepare(CPU, torch.float32)
    return task


def test_retrieval_rises_above_chance(cache, tmp_path):
    training = loop(steps=60, batch_size=32, lr=3e-3, ema_decay=0.5, validate_every=60, validate_first=True)
    run(Recipe(name="text", task=config(cache, words_weight=0.0), loop=training), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    before, after = (line["validation"] for line in lines if "validation" in line)
    assert after["captions_top1"] > max(3 / 48, before["captions_top1"])
    assert after["phrases_top1"] > max(3 / 48, before["phrases_top1"])


def test_words_can_be_read_from_the_pooled_state(cache, tmp_path):
    training = loop(steps=60, batch_size=32, lr=3e-3, ema_decay=0.5, log_every=10)
    run(Recipe(name="text", task=config(cache), loop=training), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["words"] < 0.3 * lines[0]["words"]


def test_pairs_alternate_between_captions_and_phrases(cache):
    task = prepared(cache)
    captions = {item.caption for item in task.sources[0].items}
    phrases = {phrase for item in task.sources[0].items for phrase in item.phrases}
    assert set(task.batch(0, 0, 1)["texts"]) <= captions
    odd = task.batch(1, 0, 1)
    assert set(odd["texts"]) <= phrases and odd["images"].shape[1] == odd["images"].shape[2]
    assert torch.equal(odd["images"], task.batch(1, 0, 1)["images"])


def test_equal_texts_share_the_right_answer(cache):
    task = prepared(cache)
    batch = task.batch(1, 0, 1)
    batch["texts"] = [batch["texts"][0]] * 16
    loss, logged = task.loss(batch, generator())
    ids_BL, pooled_BD = task._pooled(batch["texts"])
    logits, same = task._logits(batch, pooled_BD)
    assert bool((same == 1).all()) and logged["top1"] == 1.0
    uniform = torch.full_like(same, 1 / 16)
    wanted = (
        -(uniform * logits.log_softmax(1)).sum(1).mean() - (uniform * logits.log_softmax(0)).sum(0).mean()
    )
    named = 0.0
    for ids, row in zip(ids_BL, task.words(pooled_BD), strict=True):
        present = set(ids.tolist())
        named -= sum(nnf.logsigmoid(x if k in present else -x) for k, x in enumerate(row)) / 16
    assert torch.allclose(loss, wanted / 2 + 0.05 * named, rtol=1e-4)
    assert logged["words"] == pytest.approx(named.item(), rel=1e-4)


def test_everything_that_is_trained_gets_a_gradient(cache):
    task = prepared(cache)
    loss, _ = task.loss(task.batch(0, 0, 1), generator())
    loss.backward()
    silent = [name for name, p in task.encoder.named_parameters() if p.grad is None]
    assert not silent and all(p.grad is not None for p in task.tower.parameters())
    assert sum(len(group["params"]) for group in task.groups()) == sum(
        len(list(module.parameters())) for module in task.modules.values()
    )


def test_the_export_is_read_by_transformers(cache, tmp_path, capfd):
    from transformers import CLIPTextModel, CLIPTokenizer

    task = prepared(cache)
    task.export(tmp_path)
    assert "%" not in capfd.readouterr().err  # no bars of other libraries
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "tokenizer")
    encoder = CLIPTextModel.from_pretrained(tmp_path / "text_encoder", torch_dtype=torch.float32).eval()
    texts = ["a red metallic car on grass", "", "ein Zebra, 日本"]
    ids, _ = tokenize(task.tokenizer, texts, 48)
    padded = tokenizer(texts, padding="max_length", max_length=48, truncation=True, return_tensors="pt")
    assert torch.equal(padded.input_ids[:, : ids.shape[1]], ids)
    expected = copy.deepcopy(task.encoder).eval()
    standardise(expected, task._states())
    ours, theirs = expected(ids), encoder(padded.input_ids[:, : ids.shape[1]])
    assert torch.allclose(ours.last_hidden_state, theirs.last_hidden_state, atol=2e-2)
    assert torch.allclose(ours.pooler_output, theirs.pooler_output, atol=2e-2)
    assert encoder.config.eos_token_id != 2


def test_tokenizer_keeps_captions_short(tokenizer):
    prompts = [toybox.draw(seed).scene.prompt for seed in range(300, 340)]
    lengths = [len(ids) for ids in tokenizer(prompts)["input_ids"]]
    words = [len(prompt.replace(",", " ,").split()) + 2 for prompt in prompts]
    assert sum(lengths) < 1.25 * sum(words) and max(lengths) <= 48
    assert len(tokenizer) <= 900
    assert tokenizer.convert_ids_to_tokens([len(tokenizer) - 2, len(tokenizer) - 1]) == [START, END]


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40))
def test_tokenizer_round_trip(tokenizer, text):
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert (None not in ids and tokenizer.bos_token_id not in ids[1:]) or START in text or END in text
    back = tokenizer.decode(ids, skip_special_tokens=True)
    if text.isascii() and text.replace(" ", "").isalpha():  # digits and marks are words of their own
        assert back.strip() == " ".join(text.lower().split())


def test_tokenizer_round_trip_of_captions(tokenizer):
    for seed in range(30):
        prompt = toybox.draw(seed).scene.prompt
        back = tokenizer.decode(tokenizer(prompt)["input_ids"], skip_special_tokens=True)
        assert back.replace(" ", "") == prompt.lower().replace(" ", "")


def test_tokens_are_padded_and_ends_known(tokenizer):
    ids, ends = tokenize(tokenizer, ["a red car", "", "word " * 80], 48)
    assert ids.shape[0] == 3 and ids.shape[1] <= 48 and ends[1] == 1 and ends[2] == 47
    assert all(ids[row, end] == tokenizer.eos_token_id for row, end in enumerate(ends))


def test_small_sources_too(cache):
    assert len(prepared(cache, sources=(SMALL,)).sources[0]) == 24
