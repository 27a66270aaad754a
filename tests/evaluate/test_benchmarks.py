"""Benchmarks on cases that can be counted by hand, and against definitions written out once more."""

from __future__ import annotations

import numpy as np
import pytest
from judged_cases import asked, found, pair, random_pairs

from scenewright.evaluate import benchmarks, whole
from scenewright.evaluate.frechet import frechet_distance, kernel_distance
from scenewright.evaluate.measures import Measured, estimates
from scenewright.evaluate.protocol import INSTANCES, LAYOUT, PICTURES, SEMANTIC
from scenewright.scene import Vocabulary


def values(measured: Measured, pictures: int) -> dict[str, float | None]:
    return {name: one.value for name, one in estimates(measured.measures, pictures, 100, 0)[0].items()}


@pytest.fixture(scope="module")
def pairs():
    """Three pictures: all right; the colour wrong and one missing; right things at wrong places."""
    return (
        pair(
            [asked("car", (0, 0, 32, 32), colour="red")],
            [found("car", (0, 0, 32, 32), colour="red")],
            name="a",
        ),
        pair(
            [asked("car", (0, 0, 32, 32), colour="red"), asked("cat", (32, 32, 64, 64), colour="blue")],
            [found("car", (0, 0, 32, 32), colour="pink"), found("cat", (32, 32, 64, 64), 0.1, colour="blue")],
            name="b",
        ),
        pair(
            [asked("dog", (0, 0, 16, 16), colour="red"), asked("dog", (48, 48, 64, 64))],
            [found("dog", (20, 20, 36, 36), colour="red"), found("dog", (48, 48, 64, 56), colour="red")],
            name="c",
            unnamed=["a lamp"],
        ),
    )


def test_layout_by_hand(pairs) -> None:
    measured = benchmarks.layout(pairs, 0.3)
    got = values(measured, 3)
    assert got["iou"] == pytest.approx((1 + 1 + 0 + 0 + 0.5) / 5)
    assert got["placed"] == got["class"] == pytest.approx(3 / 5)
    assert got["colour"] == pytest.approx(1 / 4)  # four ask for a colour; one is there and right
    assert got["texture"] is None
    assert got["shown"] == pytest.approx((1 + 1 + 2) / 6)  # the lamp that cannot be named is not shown
    assert got["shown_colour"] == pytest.approx((1 + 0 + 2) / 6)
    assert got["pictures_right"] == got["pictures_shown"] == pytest.approx(1 / 3)
    assert measured.instances == 5 and measured.unnamed == {"a lamp": 1}
    assert [item["right"] for item in measured.items] == [1, 0, 1]
    assert [item["rank"] for item in measured.items] == [1.0, 0.25, 0.25]


def test_doubtful_findings_count_for_average_precision_only(pairs) -> None:
    sure, all_of_them = benchmarks.layout(pairs, 0.3), benchmarks.layout(pairs, 0.0)
    assert values(sure, 3)["ap50"] == values(all_of_them, 3)["ap50"]
    assert values(all_of_them, 3)["placed"] == pytest.approx(4 / 5)


def test_groups_hold_the_right_pictures(pairs) -> None:
    groups = benchmarks.layout(pairs, 0.3).groups
    assert {key: (part.pictures, part.instances) for key, part in groups["instances"].items()} == {
        "1": (1, 1), "2": (1, 2), "3": (1, 2),
    }  # fmt: skip
    by_number = {key: estimates(part.measures, 3, 100, 0)[0] for key, part in groups["instances"].items()}
    assert by_number["1"]["iou"].value == 1.0 and by_number["2"]["iou"].value == 0.5
    assert by_number["1"]["ap50"].value == pytest.approx(1.0)
    sizes = groups["size"]
    assert {key: part.instances for key, part in sizes.items()} == {"0.2 to 0.3": 2, "0.4 or more": 3}
    assert estimates(sizes["0.4 or more"].measures, 3, 100, 0)[0]["iou"].value == pytest.approx(2 / 3)


def test_names_of_sizes() -> None:
    names = benchmarks.size_names()
    assert names[0] == "under 0.1" and names[-1] == "0.4 or more" and len(names) == 5


def test_every_figure_belongs_to_the_protocol() -> None:
    boxes = random_pairs(np.random.default_rng(0), 12)
    masks = random_pairs(np.random.default_rng(1), 12, mask=True)
    for measured, rules in (
        (benchmarks.layout(boxes, 0.3), LAYOUT),
        (benchmarks.instances(masks, 0.3), INSTANCES),
    ):
        for name in measured.measures:
            rules.metric(name)
        figures, replicates = estimates(measured.measures, 12, 120, 3)
        for name, one in figures.items():
            if one.value is None:
                continue
            assert one.low <= one.high and len(replicates[name]) == 120
            assert -1e-9 <= one.low and one.high <= 1 + 1e-9, name


def test_no_instances_measure_nothing() -> None:
    got = values(benchmarks.layout((pair([], []),), 0.3), 1)
    assert all(value is None for value in got.values())


# --- whole pictures ----------------------------------------------------------------------------------------


def _street(rng: np.random.Generator, look: str, seen: str, *, mapped: bool = True) -> whole.Street:
    truth = rng.integers(0, 3, (8, 8)).astype(np.uint16)
    judged = np.where(rng.random((8, 8)) < 0.7, truth, 1).astype(np.uint16)
    return whole.Street(truth if mapped else None, judged if mapped else None, look, seen)


def test_semantic_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    streets = [_street(rng, "fog", "fog"), _street(rng, "snow", "fog"), _street(rng, "", "fog", mapped=False)]
    vocabulary = Vocabulary.from_json(
        {"classes": [{"name": f"c{k}", "id": k} for k in range(3)], "background": None}, "test", "test"
    )
    measured = whole.semantic(streets, vocabulary)
    got = values(measured, 3)
    truth = np.concatenate([one.truth.ravel() for one in streets[:2]])
    seen = np.concatenate([one.seen.ravel() for one in streets[:2]])
    ious = [((truth == k) & (seen == k)).sum() / ((truth == k) | (seen == k)).sum() for k in range(3)]
    assert got["miou"] == pytest.approx(np.mean(ious))
    assert got["pixels"] == pytest.approx((truth == seen).mean())
    assert got["look"] == 0.5  # of the two pictures that ask for a look
    by_class = {
        key: estimates(part.measures, 3, 100, 0)[0]["miou"].value
        for key, part in measured.groups["class"].items()
    }
    assert [by_class[f"c{k}"] for k in range(3)] == pytest.approx(ious)
    fog = estimates(measured.groups["look"]["fog"].measures, 3, 100, 0)[0]
    assert fog["look"].value == 1.0 and measured.groups["look"]["fog"].pictures == 1
    assert set(measured.measures) == {one.name for one in SEMANTIC.metrics}


def test_semantic_without_maps_or_looks() -> None:
    vocabulary = Vocabulary.load("town")
    assert not whole.semantic([whole.Street()], vocabulary).measures
    assert set(whole.semantic([whole.Street(asked="fog", look="rain")], vocabulary).measures) == {"look"}


def test_pictures_are_the_distances_of_scaled_features() -> None:
    rng = np.random.default_rng(0)
    real, made = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in rng.normal(size=(2, 30, 4)))
    measured = whole.pictures(made, real, [0.5, None] * 15)
    figures = estimates(measured.measures, 30, 100, 0)[0]
    assert figures["fd_judge"].value == pytest.approx(4 * frechet_distance(real, made))
    assert figures["kd_judge"].value == pytest.approx(1000 * kernel_distance(real * 2, made * 2))
    assert figures["clip_score"].value == 0.5
    assert figures["fd_judge"].low <= figures["fd_judge"].value <= figures["fd_judge"].high
    assert set(measured.measures) == {one.name for one in PICTURES.metrics}
    assert set(whole.pictures(made, None, [0.1] * 30).measures) == {"clip_score"}
