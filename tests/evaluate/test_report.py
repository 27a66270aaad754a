"""Reports keep their values, and are compared only with reports of the same samples."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from scenewright.errors import InputError, StorageError
from scenewright.evaluate.bootstrap import Estimate, ratio, weights
from scenewright.evaluate.measures import Measure, estimates
from scenewright.evaluate.plots import plot
from scenewright.evaluate.protocol import LAYOUT
from scenewright.evaluate.report import Group, Report, compare, protocol_of
from scenewright.evaluate.tables import difference_lines, report_lines, shown

PICTURES = 40


def _report(hits_P: np.ndarray, **changes: object) -> Report:
    measures = {
        "ap50": Measure(ratio(hits_P * 0.9, np.ones(PICTURES))),
        "iou": Measure(ratio(hits_P, np.ones(PICTURES))),
    }
    figures, replicates = estimates(measures, PICTURES, 300, 0)
    fields: dict[str, object] = {
        "protocol": "layout-1",
        "judges": {"detector": "detector@00000000"},
        "source": "pictures",
        "sample_set": "toybox-1, first 40",
        "samples": "ab" * 32,
        "pictures": PICTURES,
        "instances": 80,
        "unnamed": {"a thing": 2},
        "seed": 0,
        "resamples": 300,
        "figures": figures,
        "ceilings": {"judge": {"ap50": 0.95}, "judge_file": {"box_AP50": 0.95, "class": 0.98}},
        "groups": {"instances": {"1": Group(pictures=40, instances=80, figures=figures)}},
        "items": [{"name": str(k), "key": "0" * 16, "rank": float(hits_P[k])} for k in range(PICTURES)],
        "replicates": replicates,
        "notes": ["40 pictures: intervals are wide"],
    }
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def hits_P() -> np.ndarray:
    return np.random.default_rng(0).random(PICTURES)


def test_file_round_trip(tmp_path: Path, hits_P: np.ndarray) -> None:
    report = _report(hits_P)
    path = report.write(tmp_path / "results.json")
    back = Report.read(path)
    assert back.to_json() == report.to_json()
    assert report.write(tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert back.figures["iou"].value == pytest.approx(hits_P.mean(), rel=1e-5)
    assert back.ceiling("ap50") == 0.95 and back.ceiling("iou") is None
    assert "replicates" not in back.summary() and "items" not in back.summary()
    assert protocol_of(back) == LAYOUT


def test_interval_is_that_of_the_resamples(hits_P: np.ndarray) -> None:
    """Against the definition: percentiles of the means of resampled pictures."""
    means = weights(PICTURES, 300, 0) @ hits_P / PICTURES
    found = _report(hits_P).figures["iou"]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_a_report_equals_itself(hits_P: np.ndarray) -> None:
    for one in compare(_report(hits_P), _report(hits_P)).values():
        assert one.value == one.low == one.high == 0.0


def test_differences_are_paired(hits_P: np.ndarray) -> None:
    """A constant gain has no spread although both values have; an unpaired interval would be wide."""
    found = compare(_report(hits_P + 0.1), _report(hits_P))["iou"]
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    wide = _report(hits_P).figures["iou"]
    assert wide.high - wide.low > 0.1
    shuffled = compare(_report(hits_P[::-1]), _report(hits_P))["iou"]
    assert shuffled.low < 0 < shuffled.high


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": "cd" * 32}, "samples"),
        ({"protocol": "layout-2"}, "protocols"),
        ({"judges": {"detector": "detector@11111111"}}, "judges"),
        ({"pictures": 41}, "numbers of pictures"),
        ({"seed": 1}, "resamplings"),
        ({"resamples": 200}, "resamplings"),
    ],
)
def test_other_samples_are_refused(hits_P: np.ndarray, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=f"the {words} differ") as fault:
        compare(_report(hits_P), _report(hits_P, **changes))
    assert fault.value.hint


def test_metrics_of_one_report_only_are_left_out(hits_P: np.ndarray) -> None:
    ours, theirs = _report(hits_P), _report(hits_P)
    theirs = dataclasses.replace(
        theirs, figures={"iou": theirs.figures["iou"], "ap50": Estimate(None, None, None)}
    )
    assert list(compare(ours, theirs)) == ["iou"]


def test_files_that_are_no_reports(tmp_path: Path, hits_P: np.ndarray) -> None:
    with pytest.raises(StorageError):
        Report.read(tmp_path / "none.json")
    whole = _report(hits_P).to_json()
    for broken, words in (
        ([], "no results"),
        ({"figures": {}}, "no results"),
        ({**whole, "report_version": 9}, "version 9"),
        ({**whole, "figures": {"iou": 3}}, "damaged"),
        ({**whole, "replicates": {}}, "damaged"),
        ({**whole, "bootstrap": {"seed": 0, "resamples": 299}}, "damaged"),
        ({key: value for key, value in whole.items() if key != "judges"}, "damaged"),
    ):
        path = tmp_path / "broken.json"
        path.write_text(json.dumps(broken))
        with pytest.raises(InputError, match=words) as fault:
            Report.read(path)
        assert fault.value.hint
    with pytest.raises(InputError, match="layout-9"):
        protocol_of(_report(hits_P, protocol="layout-9"))


def test_text_says_what_the_figures_are_of(hits_P: np.ndarray) -> None:
    report = _report(hits_P)
    lines = report_lines(report, LAYOUT)
    text = "\n".join(lines)
    for words in (
        "layout-1", "40 pictures, 80 instances", "toybox-1, first 40", "detector@00000000",
        "300 bootstrap resamples", "seed 0", "note: 40 pictures", "by instances",
    ):  # fmt: skip
        assert words in text, words
    first_figure = next(k for k, line in enumerate(lines) if line.startswith("AP50"))
    assert next(k for k, line in enumerate(lines) if line.startswith("ceiling")) < first_figure
    assert "95.0 %" in lines[first_figure] and "of ceiling" in text
    differences = difference_lines(compare(_report(hits_P + 0.1), report), LAYOUT)
    assert differences[-1].endswith("*")


def test_values_in_their_units() -> None:
    assert shown(LAYOUT.metric("ap"), 0.1234) == "12.3 %"
    assert shown(LAYOUT.metric("iou"), 0.1234) == "0.123"
    assert shown(LAYOUT.metric("iou"), None) == "-" == shown(LAYOUT.metric("iou"), float("nan"))


def test_plot_is_a_picture(hits_P: np.ndarray) -> None:
    report = _report(hits_P)
    first = plot(report, LAYOUT)
    assert first.startswith(b"\x89PNG") and first == plot(report, LAYOUT)
    assert plot(_report(hits_P, figures={}, groups={}), LAYOUT).startswith(b"\x89PNG")
