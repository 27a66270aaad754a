"""Benchmarks of open-vocabulary segmentation: classes, seen names, background rules, both mIoU formulas."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.evaluate.open_protocols import (
    OPEN_PROTOCOLS,
    RULES,
    open_protocol,
    open_protocol_of,
    open_protocol_with_id,
    published_names,
    seen_by_name,
)
from scenewright.evaluate.open_vocabulary import OpenScore, open_score
from scenewright.evaluate.semantic import semantic_score
from scenewright.scene import IGNORE, VocabClass, Vocabulary

FROZEN = {
    "voc20": ("ovss-voc20-ignored-1", "voc", 20, 1449),
    "voc21": ("ovss-voc21-names-1", "voc", 20, 1449),
    "voc20b": ("ovss-voc20b-context-1", "voc", 20, 1449),
    "pc59": ("ovss-pc59-ignored-1", "pascal-context", 59, 5104),
    "pc459": ("ovss-pc459-none-1", "pascal-context-459", 459, 5104),
    "a150": ("ovss-a150-none-1", "ade20k", 150, 2000),
    "a847": ("ovss-a847-none-1", "ade20k-full", 847, 2000),
    "coco-stuff": ("ovss-coco-stuff-none-1", "coco-stuff", 171, 5000),
}

LISTS = {
    "voc": ("voc20", 14),
    "pascal-context": ("pascal_context_59", 35),
    "pascal-context-459": ("pascal_context_459", 71),
    "ade20k": ("ade20k_150", 47),  # 46 with the blank that the circulated list has after "bed"
    "ade20k-full": ("ade20k_847", 52),
    "coco-stuff": ("coco_stuff_171", 171),
}


def test_protocols_are_frozen():
    found = {
        word: (one.id, one.vocabulary, len(Vocabulary.load(one.vocabulary)), one.count)
        for word, one in OPEN_PROTOCOLS.items()
    }
    assert found == FROZEN
    for one in OPEN_PROTOCOLS.values():
        assert open_protocol_with_id(one.id) == one and RULES[one.rule] in one.title
    own = open_protocol_of("toybox", "plain")
    assert own.id == "ovss-toybox-plain-1" and open_protocol_with_id(own.id) == own
    assert open_protocol_of("toybox").rule == "names" and open_protocol_of("town").rule == "none"
    assert open_protocol_with_id("layout-1") is None
    with pytest.raises(InputError, match="voc22") as told:
        open_protocol("voc22")
    assert "voc2" in told.value.hint
    with pytest.raises(InputError, match="no background"):
        open_protocol_of("town", "names")
    with pytest.raises(InputError, match="rule"):
        open_protocol_of("voc", "name")


@pytest.mark.parametrize("vocabulary", LISTS)
def test_names_and_their_overlap_are_the_published_ones(golden_dir, vocabulary):
    lists = json.loads((golden_dir / "segdiffusion" / "ovss_vocabularies.json").read_text())
    key, overlap = LISTS[vocabulary]
    assert published_names(vocabulary) == tuple(name.strip() for name in lists[key])
    seen = seen_by_name(vocabulary, published_names("coco-stuff"))
    assert len(seen) == len(lists[key]) and sum(seen) == overlap


def score(counts) -> OpenScore:
    none = np.zeros(len(counts.names), bool)
    return OpenScore(counts, none, none)


def test_both_formulas_equal_the_recorded_ones(golden_dir):
    paths = sorted((golden_dir / "segdiffusion").glob("*/miou.npz"))
    if not paths:
        pytest.skip("no recordings")
    for path in paths:
        held = np.load(path)
        number, ignore = int(held["num_classes"]), int(held["ignore"])
        classes = tuple(VocabClass(name=f"c{k}", id=k) for k in range(number))
        known = Vocabulary(name="recorded", classes=classes, ignore=ignore)
        counts = semantic_score([(held["gt"], held["pred"])], known)
        assert np.array_equal(counts.confusion[:, :-1], held["confusion"][:number, :number].T)
        values = {name: one.statistic(np.ones((1, 1)))[0] for name, one in score(counts).measures().items()}
        expected = {
            "miou": "miou_current", "miou_either": "miou_legacy", "pixels": "pacc", "macc": "macc",
            "fwiou": "fwiou",
        }  # fmt: skip
        assert set(values) == set(expected)
        for name, key in expected.items():
            assert values[name] == pytest.approx(float(held[key]), abs=1e-12)


def plain_iou(pairs, ids, ignore):
    """An oracle in ten lines: IoU per class over the set."""
    found = {}
    for k in ids:
        shared = union = 0
        for truth, predicted in pairs:
            counts = ~np.isin(truth, ignore)
            shared += ((truth == k) & (predicted == k) & counts).sum()
            union += (((truth == k) | (predicted == k)) & counts).sum()
        if union:
            found[k] = shared / union
    return found


def pairs(seed: int = 0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, (3, 9, 11)).astype(np.uint16)
    truth[:, 0] = IGNORE
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(1, 9, truth.shape)).astype(
        np.uint16
    )
    return list(zip(truth, predicted, strict=True))


def test_background_rules_change_what_is_scored():
    maps, ones = pairs(), np.ones((1, 3))
    ignored = open_score(maps, open_protocol("voc20"))
    assert ignored.counts.names[0] == "aeroplane"
    expected = plain_iou(maps, range(1, 21), (0, IGNORE))
    inside = [value for k, value in expected.items() if k < 6]
    assert ignored.mean()(ones)[0] == pytest.approx(np.mean(inside))
    assert ignored.either(ones)[0] == pytest.approx(np.mean(list(expected.values())))
    named = open_score(maps, open_protocol("voc21"))
    expected = plain_iou(maps, range(21), (IGNORE,))
    assert named.counts.names[0] == "background"
    assert named.mean()(ones)[0] == pytest.approx(np.mean([value for k, value in expected.items() if k < 6]))


def test_seen_and_unseen_names():
    maps = pairs(1)
    found = open_score(maps, open_protocol("voc21"), ("aeroplane", "bird", "no such class"))
    figures = {name: float(one.statistic(np.ones((1, 3)))[0]) for name, one in found.measures().items()}
    expected = plain_iou(maps, range(1, 6), (IGNORE,))
    assert figures["miou_seen"] == pytest.approx(np.mean([expected[1], expected[3]]))
    assert figures["miou_unseen"] == pytest.approx(np.mean([expected[2], expected[4], expected[5]]))
    groups = found.groups()
    assert set(groups["seen class"]) == {"aeroplane", "bird"} and set(groups["other class"]) == {"background"}
    assert groups["unseen class"]["boat"].figures["iou"].value == pytest.approx(expected[4])
    items = found.items()
    assert len(items) == 3 and 0 < items[0]["rank"] < 1 and 0 < items[0]["miou"] < 1
    assert "miou_seen" not in open_score(maps, open_protocol("voc21")).measures()


def test_nothing_to_score():
    blank = np.full((4, 4), IGNORE, np.uint16)
    with pytest.raises(InputError, match="no pixel"):
        open_score([(blank, blank)], open_protocol("voc20"))
