"""InstanceDiffusion's evaluations are frozen, and the paper's figures stand beside those of their id only."""

from __future__ import annotations

import pytest
from judged_cases import asked, found, pair

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.instance_protocols import (
    COLOURS,
    INSTANCE_PROTOCOLS,
    PUBLISHED,
    TEXTURES,
    beside_lines,
    beside_paper,
    instance_protocol,
    protocol_with_id,
)
from scenewright.evaluate.instances import (
    Look,
    Looks,
    found_boxes,
    instances_of_coco,
    look_of,
    without_crowds,
)
from scenewright.evaluate.measures import values
from scenewright.evaluate.report import Report, protocol_of

SHARED = "ap ap50 ap75 ap_small ap_medium ap_large ar ar_small ar_medium ar_large iou placed"
BOX = " ".join(f"box_{name}" for name in SHARED.split())
MASK = " ".join(f"mask_{name}" for name in SHARED.split())
LOOKS = "accuracy clip_local accuracy_found clip_local_found"
FROZEN = {
    "coco-box-1": ("published-box", "", "", f"{BOX} {MASK} clip_score"),
    "coco-mask-1": ("published-mask", "", "", f"{MASK} {BOX} clip_score"),
    "coco-pim-point-1": ("published-point", "point", "", f"pim pim_published {BOX} {MASK} clip_score"),
    "coco-pim-scribble-1": (
        "published-scribble", "scribble", "", f"pim pim_published {BOX} {MASK} clip_score"
    ),
    "coco-colour-1": ("published-box", "", "colour", f"{LOOKS} {BOX} {MASK} clip_score"),
    "coco-texture-1": ("published-box", "", "texture", f"{LOOKS} {BOX} {MASK} clip_score"),
}  # fmt: skip


def report(id: str, **figures: float) -> Report:
    made = {name: Estimate(value, value - 0.01, value + 0.01) for name, value in figures.items()}
    return Report(
        protocol=id, judges={"detector": "m2f@0"}, source="x", sample_set="", samples="", pictures=500,
        instances=900, figures=made, notes=["steps of the pictures is 20, not 50"],
    )  # fmt: skip


def test_the_six_are_frozen() -> None:
    made = {
        one.id: (one.use, one.form, one.attribute, " ".join(metric.name for metric in one.metrics))
        for one in INSTANCE_PROTOCOLS.values()
    }
    assert made == FROZEN
    assert COLOURS == ("black", "white", "red", "green", "yellow", "blue", "pink", "purple")
    assert TEXTURES == ("rubber", "fluffy", "metallic", "wooden", "plastic", "fabric", "leather", "glass")
    assert set(PUBLISHED) == set(FROZEN)
    assert dict(PUBLISHED["coco-box-1"]) == {"box_ap": 0.388, "box_ap50": 0.554, "box_ar": 0.529}
    assert instance_protocol("colour").values == COLOURS and instance_protocol("box").values == ()
    with pytest.raises(InputError, match="no protocol 'pim_point'") as caught:
        instance_protocol("pim_point")
    assert "did you mean pim-point?" in caught.value.hint


def test_the_papers_figures_stand_beside_their_own_protocol() -> None:
    mine = report("coco-box-1", box_ap=0.40, box_ap50=0.50)
    rows = beside_paper(mine)
    assert [(one.metric, one.published, one.ours) for one in rows] == [
        ("box_ap", 0.388, 0.40), ("box_ap50", 0.554, 0.50), ("box_ar", 0.529, None)
    ]  # fmt: skip
    assert rows[1].difference == pytest.approx(-0.054) and rows[2].difference is None
    text = "\n".join(beside_lines(mine, rows, protocol_of(mine)))
    assert "38.8 %" in text and "-5.4 %" in text and "YOLOv8m" in text and "m2f@0" in text
    assert rows[0].to_json() == {
        "published": 0.388, "ours": 0.4, "difference": 0.012, "low": 0.39, "high": 0.41
    }  # fmt: skip


@pytest.mark.parametrize("id", ["coco-box-1-varied", "instances-1", "layout-1"])
def test_other_protocols_are_refused(id: str) -> None:
    with pytest.raises(InputError, match=f"no figures for the protocol {id}") as caught:
        beside_paper(report(id, box_ap=0.4))
    assert ("not 50" in caught.value.hint) == id.endswith("varied") and "coco-box-1" in caught.value.hint


def test_varied_reports_are_read_but_are_another_protocol() -> None:
    rules = instance_protocol("mask")
    assert rules.varied.id == "coco-mask-1-varied" and rules.varied.varied == rules.varied
    assert protocol_with_id(rules.varied.id) == rules.varied and protocol_with_id("layout-1") is None
    assert protocol_of(report(rules.varied.id)) == rules.varied


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong() -> None:
    crowd = asked("cat", (0, 0, 32, 64), name="crowd", mask=True)
    one = asked("cat", (4, 4, 20, 20), mask=True)
    seen = [
        found("cat", (4, 4, 20, 20), 0.9, mask=True),  # answers the cat
        found("cat", (2, 30, 30, 60), 0.8, mask=True),  # in the crowd
        found("cat", (24, 30, 60, 60), 0.7, mask=True),  # mostly outside
        found("dog", (2, 30, 30, 60), 0.6, mask=True),  # of another class
    ]
    case = pair([one], seen)
    kept = without_crowds(case.findings, [one], [crowd])
    assert [other.score for other in kept.found] == [0.9, 0.7, 0.6]
    assert without_crowds(case.findings, [one], []) == case.findings
    bare = [found("cat", (2, 30, 30, 60), 0.8)]
    assert not without_crowds(pair([], bare).findings, [], [crowd]).found


def test_figures_by_hand() -> None:
    """One of two instances is found; its crop looks right, the other has no crop of a found box."""
    case = pair(
        [
            asked("cat", (0, 0, 32, 32), name="a", mask=True),
            asked("car", (32, 32, 64, 64), name="b", mask=True),
        ],
        [found("cat", (0, 0, 32, 16), 0.9, mask=True)],
    )
    looks = Looks(
        asked=[Look(0, "a", 0.2, True), Look(0, "b", 0.4, False)],
        found=[Look(0, "a", 0.3, True), Look(0, "b", None, False)],
        captions=[0.25],
    )
    measured = instances_of_coco(instance_protocol("colour"), [case], 0.3, looks)
    got = values(measured.measures, 1)
    assert got["box_iou"] == pytest.approx(0.25) and got["mask_iou"] == pytest.approx(0.25)
    assert got["box_placed"] == 0.5
    assert (got["accuracy"], got["clip_local"]) == (0.5, pytest.approx(0.3))
    assert (got["accuracy_found"], got["clip_local_found"]) == (0.5, pytest.approx(0.3))
    assert got["clip_score"] == 0.25 and measured.instances == 2
    assert set(got) <= {metric.name for metric in instance_protocol("colour").metrics}
    assert set(found_boxes(case, 0.3)) == {"a"} and not found_boxes(case, 0.95)


def test_looks_are_read_from_stored_cosines() -> None:
    stored = {"local": 0.31, "values": [0.1, 0.3, 0.2]}
    assert look_of(2, "a", stored, 1) == Look(2, "a", 0.31, True)
    assert look_of(2, "a", stored, 0) == Look(2, "a", 0.31, False)
    assert look_of(2, "a", None, 0) == Look(2, "a", None, False)


def test_without_masks_only_boxes_are_measured() -> None:
    case = pair([asked("cat", (0, 0, 32, 32), mask=True)], [found("cat", (0, 0, 32, 32))])
    got = values(instances_of_coco(instance_protocol("mask"), [case], 0.3).measures, 1)
    assert got["box_ap50"] == pytest.approx(1.0) and not any(name.startswith("mask") for name in got)
