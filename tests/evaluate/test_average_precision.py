"""Average precision against pycocotools, against the definition by hand, and its resampling against both."""

from __future__ import annotations

import contextlib
import io
import time

import numpy as np
import pytest
from judged_cases import SIZE, asked, found, pair, random_pairs

from scenewright.evaluate.ap_resampling import ApTable
from scenewright.evaluate.asked import AskedScene, Pair
from scenewright.evaluate.average_precision import NAMES, average_precision, average_precision_estimates
from scenewright.evaluate.findings import Findings
from scenewright.scene import Mask

THERE = (8, 8, 40, 40)
SCALE = 640 / 64


def resampled(pairs, kind="box"):
    """The numbers of the whole set as the resampling computes them."""
    table, once = ApTable.of(pairs, kind), np.ones((1, len(pairs)))
    found = {name: table.statistic(name)(once)[0] for name in NAMES}
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}


def same(one, other):
    assert list(one) == list(other) == list(NAMES)
    for name in NAMES:
        assert (one[name] is None) == (other[name] is None), name
        assert one[name] == pytest.approx(other[name], abs=1e-9), name


def oracle(pairs, kind):
    """The numbers by pycocotools, from a data set written here."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = sorted({one.category for p in pairs for one in p.scene.asked})
    truth, results = [], []
    for number, p in enumerate(pairs, 1):
        for things, out in ((p.scene.asked, truth), (p.findings.found, results)):
            for one in things:
                if one.category not in names:
                    continue
                entry = {"image_id": number, "category_id": names.index(one.category) + 1, "iscrowd": 0}
                entry["id"] = len(out) + 1
                x, y, w, h = (value * SCALE for value in one.box.to_xywh_px(SIZE))
                entry["area"] = w * h if kind == "box" else one.mask.area_px * SCALE**2
                if kind == "box":
                    entry["bbox"] = [x, y, w, h]
                else:
                    entry["segmentation"] = {"size": list(one.mask.size_hw), "counts": one.mask.counts}
                out.append({**entry, "score": one.score} if out is results else entry)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": k + 1, "width": 64, "height": 64} for k in range(len(pairs))],
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(names)],
            "annotations": truth,
        }
        coco.createIndex()
        areas = [entry["area"] for entry in results]  # loadRes writes the areas of the masks over them
        given = coco.loadRes(results)
        for entry, area in zip(given.dataset["annotations"], areas, strict=True):
            entry["area"] = area
        judge = COCOeval(coco, given, "bbox" if kind == "box" else "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    places = (0, 1, 2, 8, 3, 4, 5, 9, 10, 11)
    values = [float(judge.stats[k]) for k in places]
    return {n: None if v < 0 else v for n, v in zip(NAMES, values, strict=True)}


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_nothing_asked_is_no_number(kind):
    nothing = dict.fromkeys(NAMES)
    for pairs in ((), (pair([], []),), (pair([], [found("car", THERE, mask=True)]),)):
        assert average_precision(pairs, kind) == nothing
        assert resampled(pairs, kind) == nothing
        assert {one.value for one in average_precision_estimates(pairs, kind).values()} == {None}


def test_nothing_found_is_zero():
    pairs = [pair([asked("car", THERE)], [])]
    result = average_precision(pairs)
    assert result["AP"] == result["AP50"] == result["AR"] == 0.0
    assert result["AP_small"] is None and result["AP_large"] == 0.0
    same(result, resampled(pairs))


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_everything_found_is_one(kind):
    pairs = [
        pair([asked("car", THERE, mask=True)], [found("car", THERE, mask=True)]),
        pair([asked("dog", (0, 0, 2, 2), mask=True)], [found("dog", (0, 0, 2, 2), 0.1, mask=True)]),
    ]
    result = average_precision(pairs, kind)
    assert {name for name, value in result.items() if value is None} == {"AP_medium", "AR_medium"}
    assert all(value == pytest.approx(1.0) for value in result.values() if value is not None)
    same(result, resampled(pairs, kind))
    for one in average_precision_estimates(pairs, kind, resamples=50).values():
        assert (one.low, one.value, one.high) in (((None,) * 3), pytest.approx((1.0, 1.0, 1.0)))


def test_one_false_finding_above_the_right_one_halves_it():
    right, wrong = found("car", THERE, 0.5), found("car", (44, 44, 60, 60), 0.8)
    assert average_precision([pair([asked("car", THERE)], [wrong, right])])["AP50"] == pytest.approx(0.5)
    later = found("car", (44, 44, 60, 60), 0.2)
    assert average_precision([pair([asked("car", THERE)], [later, right])])["AP50"] == pytest.approx(1.0)


def test_iou_decides_the_thresholds():
    """IoU 0.75 exactly: right at 0.5 to 0.75, six of ten thresholds."""
    pairs = [pair([asked("car", (0, 0, 32, 32))], [found("car", (0, 0, 32, 24))])]
    result = average_precision(pairs)
    assert result["AP"] == pytest.approx(0.6) and result["AR"] == pytest.approx(0.6)
    assert result["AP50"] == result["AP75"] == pytest.approx(1.0)
    same(result, resampled(pairs))


def test_another_class_and_a_second_finding_are_wrong():
    instance = asked("car", THERE)
    assert average_precision([pair([instance], [found("dog", THERE)])])["AP"] == 0.0
    both = [found("car", THERE, 0.9), found("car", THERE, 0.8)]
    pairs = [pair([instance], both), pair([instance], [found("car", THERE, 0.7)])]
    assert average_precision(pairs)["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    same(average_precision(pairs), resampled(pairs))


def test_a_class_asked_nowhere_does_not_count():
    pairs = [pair([asked("car", THERE)], [found("car", THERE), found("ufo", THERE, 1.0)])]
    assert average_precision(pairs)["AP"] == pytest.approx(1.0)


def test_instances_and_findings_without_that_place_are_left_out():
    pairs = [pair([asked("car", THERE, mask=True), asked("dog", (0, 0, 8, 8))], [found("car", THERE)])]
    assert average_precision(pairs, "mask")["AP"] == 0.0
    assert average_precision(pairs, "box")["AP"] == pytest.approx(0.5)


def test_sizes_are_fractions_of_the_picture():
    """An eighth of the side is medium in a picture of any size."""
    results = []
    for side in (64, 512):
        bits = np.zeros((side, side), bool)
        bits[: side // 8, : side // 8] = True
        mask = Mask.from_array(bits)
        wanted = asked("car", (0, 0, 8, 8))
        seen = found("car", (0, 0, 8, 8))
        wanted, seen = (type(one)(**{**_fields(one), "mask": mask}) for one in (wanted, seen))
        scene = AskedScene("p", (side, side), (wanted,))
        judged = Pair(scene, Findings("p", "hand@0", (side, side), (seen,)))
        results.append([average_precision([judged], kind) for kind in ("box", "mask")])
    assert results[0] == results[1]
    assert results[0][0]["AP_medium"] == 1.0 and results[0][1]["AP_small"] is None


def _fields(one):
    return {name: getattr(one, name) for name in type(one).__dataclass_fields__}


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocotools(kind, seed):
    pairs = random_pairs(np.random.default_rng(seed), 60, mask=kind == "mask")
    result = average_precision(pairs, kind)
    assert 0.05 < result["AP"] < 0.9 and None not in result.values()
    same(result, oracle(pairs, kind))
    same(result, resampled(pairs, kind))


def test_an_instance_inside_the_size_range_comes_first():
    """The finding is nearer to the medium one, but for the small range it answers the small one."""
    instances = [asked("car", (0, 0, 3, 3), name="small"), asked("car", (0, 0, 4, 4), name="medium")]
    pairs = [pair(instances, [found("car", (0, 0, 4, 4))])]
    result = average_precision(pairs)
    assert result["AP_small"] == pytest.approx(0.2) and result["AP_medium"] == pytest.approx(1.0)
    same(result, oracle(pairs, "box"))
    same(result, resampled(pairs))


def test_no_more_than_a_hundred_findings_of_a_class():
    rng = np.random.default_rng(0)
    spare = [found("car", (0, 0, 4, 4), 0.5 + k / 1000) for k in rng.permutation(100)]
    pairs = [pair([asked("car", THERE)], [*spare, found("car", THERE, 0.4)])]
    assert average_precision(pairs)["AP"] == 0.0
    same(average_precision(pairs), resampled(pairs))


@pytest.mark.parametrize("name", NAMES)
def test_a_resample_is_the_set_with_its_pictures_repeated(name):
    rng = np.random.default_rng(5)
    pairs = random_pairs(rng, 25, classes=3)
    values = ApTable.of(pairs).statistic(name)
    weights = rng.multinomial(25, np.full(25, 1 / 25), size=8).astype(float)
    for row, value in zip(weights, values(weights), strict=True):
        drawn = [one for one, number in zip(pairs, row, strict=True) for _ in range(int(number))]
        expected = average_precision(drawn)[name]
        assert value == pytest.approx(np.nan if expected is None else expected, abs=1e-9, nan_ok=True)


def test_intervals_hold_the_value_and_narrow():
    few = average_precision_estimates(random_pairs(np.random.default_rng(1), 20), resamples=200)
    many = average_precision_estimates(random_pairs(np.random.default_rng(1), 200), resamples=200)
    for one in (few["AP"], many["AP"], many["AR"]):
        assert one.low < one.value < one.high
    assert many["AP50"].high - many["AP50"].low < few["AP50"].high - few["AP50"].low


def test_quiet_and_without_traces(capfd):
    pairs = random_pairs(np.random.default_rng(2), 5, mask=True)
    before = [(p.scene, p.findings) for p in pairs]
    average_precision(pairs, "mask")
    assert [(p.scene, p.findings) for p in pairs] == before
    assert capfd.readouterr() == ("", "")


def test_a_thousand_resamples_take_seconds():
    pairs = random_pairs(np.random.default_rng(3), 1000, classes=38)
    table = ApTable.of(pairs)
    began = time.process_time()
    values = table.statistic("AP")(np.ones((1000, 1000)))
    assert time.process_time() - began < 10  # 0.5 s on a quiet core
    assert values == pytest.approx(average_precision(pairs)["AP"])
