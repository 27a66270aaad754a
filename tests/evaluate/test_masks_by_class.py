"""The benchmark of masks by class, against a confusion counted pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import weights
from scenewright.evaluate.grounding import (
    GroundingTable,
    PictureCounts,
    count_masks,
    grounding,
    harmonic,
)
from scenewright.evaluate.measures import estimates, values
from scenewright.evaluate.protocol import protocol
from scenewright.evaluate.splits import ClassSplit

SPLIT = ClassSplit(0, ("cat", "cow"), ("dog",))
NAMES = ("cat", "cow", "dog", "mug")
SIZE = (8, 10)


def label_map(rng, classes):
    """A random label map: 0 background, k + 1 class k."""
    return rng.integers(0, len(classes) + 1, SIZE)


def masks(labels_HW, number):
    return np.stack([labels_HW == k + 1 for k in range(number)])


@pytest.fixture
def pictures():
    """(classes, truth, found) of random pictures with one to four classes."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(30):
        classes = list(rng.permutation(NAMES)[: rng.integers(1, 5)])
        truth_HW = label_map(rng, classes)
        wrong_HW = np.where(rng.random(SIZE) < 0.6, truth_HW, label_map(rng, classes))
        found.append((classes, masks(truth_HW, len(classes)), masks(wrong_HW, len(classes))))
    return found


def counted(pictures):
    return [count_masks(f"p{k}", *one, one[2]) for k, one in enumerate(pictures)]


def class_iou(pictures, name):
    """Intersection and union over all pictures that were asked for the class."""
    chosen = [(t[c.index(name)], f[c.index(name)]) for c, t, f in pictures if name in c]
    both = sum(int((t & f).sum()) for t, f in chosen)
    return both / sum(int((t | f).sum()) for t, f in chosen)


def test_figures_against_pixels(pictures) -> None:
    measured = grounding(counted(pictures), SPLIT)
    found = values(measured.measures, len(pictures))
    seen = np.mean([class_iou(pictures, name) for name in SPLIT.seen])
    unseen = class_iou(pictures, "dog")
    assert found["miou_seen"] == pytest.approx(seen)
    assert found["miou_unseen"] == pytest.approx(unseen)
    assert found["miou_long_tail"] == pytest.approx(class_iou(pictures, "mug"))
    assert found["miou"] == pytest.approx(np.mean([class_iou(pictures, name) for name in NAMES]))
    assert found["harmonic"] == pytest.approx(2 / (1 / seen + 1 / unseen))
    none = [(~t.any(0), ~f.any(0)) for _, t, f in pictures]
    assert found["background"] == pytest.approx(
        sum((t & f).sum() for t, f in none) / sum((t | f).sum() for t, f in none)
    )
    per_picture = [
        np.mean([(t[k] & f[k]).sum() / max((t[k] | f[k]).sum(), 1) for k in range(len(c))])
        for c, t, f in pictures
    ]
    assert found["published"] == pytest.approx(np.mean(per_picture))
    assert measured.instances == sum(len(classes) for classes, _, _ in pictures)
    assert set(measured.measures) | {"iou"} == {one.name for one in protocol("grounding").metrics}


def test_published_figure_of_a_part_leaves_out_pictures_without_it(pictures) -> None:
    with_dog = [
        (t[c.index("dog")] & f[c.index("dog")]).sum() / (t[c.index("dog")] | f[c.index("dog")]).sum()
        for c, t, f in pictures
        if "dog" in c
    ]
    found = values(grounding(counted(pictures), SPLIT).measures, len(pictures))
    assert found["published_unseen"] == pytest.approx(np.mean(with_dog))


def test_groups_and_items(pictures) -> None:
    measured = grounding(counted(pictures), SPLIT)
    assert set(measured.groups) == {"seen class", "unseen class", "long tail class", "classes"}
    cow = measured.groups["seen class"]["cow"]
    asked = sum("cow" in classes for classes, _, _ in pictures)
    assert (cow.pictures, values(cow.measures, 30)["iou"]) == (
        asked,
        pytest.approx(class_iou(pictures, "cow")),
    )
    assert sum(part.pictures for part in measured.groups["classes"].values()) == len(pictures)
    two = [one for one in pictures if len(one[0]) == 2]
    alone = values(grounding(counted(two), SPLIT).measures, len(two))["miou"]
    assert values(measured.groups["classes"]["2"].measures, 30)["miou"] == pytest.approx(alone)
    assert measured.items[0]["rank"] == pytest.approx(
        np.mean(list(measured.items[0]["classes"].values())), abs=1e-4
    )


def test_intervals_are_of_resampled_pictures(pictures) -> None:
    measured = grounding(counted(pictures), SPLIT)
    found, replicates = estimates(measured.measures, 30, 200, 0)
    first_P = weights(30, 200, 0)[0].astype(int)
    drawn = [pictures[p] for p in range(30) for _ in range(first_P[p])]
    again = values(grounding(counted(drawn), SPLIT).measures, 30)
    assert replicates["harmonic"][0] == pytest.approx(again["harmonic"])
    assert found["miou"].low < found["miou"].value < found["miou"].high


def test_nothing_there_and_nothing_found() -> None:
    empty_KHW = np.zeros((1, *SIZE), bool)
    one = count_masks("p", ["cat"], empty_KHW, empty_KHW, empty_KHW)
    measured = grounding([one], SPLIT)
    found = values(measured.measures, 1)
    # No pixel of the class anywhere: no IoU of the class; the published figure counts it 0.
    assert "miou_seen" not in found and "harmonic" not in found and found["published"] == 0.0
    assert found["background"] == 1.0
    assert "miou_unseen" not in found


def test_masks_alone_may_overlap_and_enter_the_published_figure_only() -> None:
    truth_KHW = np.zeros((2, *SIZE), bool)
    truth_KHW[0, :4], truth_KHW[1, 4:] = True, True
    one = count_masks("p", ["cat", "dog"], truth_KHW, truth_KHW, np.ones_like(truth_KHW))
    found = values(grounding([one], SPLIT).measures, 1)
    assert found["miou"] == 1.0 and found["published"] == pytest.approx(0.5)


def test_harmonic_mean_of_nothing() -> None:
    assert (
        harmonic(lambda w: np.zeros(len(w)), lambda w: np.zeros(len(w)))(np.ones((3, 1))).tolist() == [0] * 3
    )


def test_counts_survive_a_file(pictures) -> None:
    for one in counted(pictures):
        again = PictureCounts.from_json(one.to_json())
        assert again == one
    table = GroundingTable.of([PictureCounts.from_json(one.to_json()) for one in counted(pictures)])
    assert np.array_equal(table.shared_PK, GroundingTable.of(counted(pictures)).shared_PK)


def test_wrong_input() -> None:
    masks_KHW = np.zeros((2, *SIZE), bool)
    with pytest.raises(InputError, match="expected masks"):
        count_masks("p", ["cat"], masks_KHW, masks_KHW, masks_KHW)
    with pytest.raises(InputError, match="asked for twice"):
        count_masks("p", ["cat", "cat"], masks_KHW, masks_KHW, masks_KHW)
    with pytest.raises(InputError, match="two classes"):
        count_masks("p", ["cat", "dog"], masks_KHW, ~masks_KHW, masks_KHW)
    with pytest.raises(InputError, match="no picture"):
        grounding([], SPLIT)
