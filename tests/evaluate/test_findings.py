"""Findings: their file, and errors that name the field."""

from __future__ import annotations

import pytest
from judged_cases import SIZE, found

from scenewright.errors import InputError, SceneError, StorageError
from scenewright.evaluate.findings import Finding, Findings
from scenewright.scene import Box

FULL = Findings(
    "a-red-car",
    "detector@1f0c9a52",
    SIZE,
    (
        found("car", (8, 8, 40, 40), 0.75, mask=True, colour="red", texture="metallic"),
        Finding("dog", 1.0, Box(0, 0, 1, 1), instance="i2"),
    ),
    {"look": {"rain": 0.9}},
)


@pytest.mark.parametrize("one", [Findings("empty", "detector@0", (8, 4)), FULL])
def test_written_and_read_it_is_the_same(one, tmp_path):
    path = one.write(tmp_path)
    assert path.name == f"{one.picture}.findings.json"
    assert Findings.read(path) == one
    first = path.read_bytes()
    one.write(tmp_path)
    assert path.read_bytes() == first
    assert Findings.from_json(one.to_json()) == one


def test_confident_findings_keep_their_order():
    assert FULL.confident(0.8).found == FULL.found[1:]
    assert FULL.confident(0.75).found == FULL.found
    assert FULL.confident(0.0) == FULL


def test_nothing_of_the_callers_is_kept():
    looks, extra = {"colour": "red"}, {"a": [1]}
    one = Findings("p", "j", SIZE, (Finding("car", 1, Box(0, 0, 1, 1), attributes=looks),), extra)
    looks["colour"] = "blue"
    extra["a"].append(2)
    assert one.found[0].attributes == {"colour": "red"} and one.extra == {"a": [1]}


def _changed(**changes):
    document = FULL.to_json()
    first = {**document["found"][0], **changes}
    return {**document, "found": [first, *document["found"][1:]]}


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], ""),
        ({}, "picture"),
        ({**FULL.to_json(), "jugde": "x"}, "jugde"),
        ({**FULL.to_json(), "findings_version": 2}, "findings_version"),
        ({**FULL.to_json(), "found": {}}, "found"),
        ({**FULL.to_json(), "size_wh": [0, 4]}, "size_wh[0]"),
        ({**FULL.to_json(), "size_wh": [32, 64]}, "found[0].mask"),
        ({**FULL.to_json(), "extra": []}, "extra"),
        (_changed(box=[0, 0, 1]), "found[0].box"),
        (_changed(box=[0, 0, 1.5, 1]), "found[0].box"),
        (_changed(box=[0.5, 0, 0.5, 1]), "found[0].box"),
        (_changed(score=1.5), "found[0].score"),
        (_changed(score=float("nan")), "found[0].score"),
        (_changed(score=None), "found[0].score"),
        (_changed(category=""), "found[0].category"),
        (_changed(mask={"size_hw": [64, 64]}), "found[0].mask.counts"),
        (_changed(mask={"size_hw": [64, 64], "counts": "!"}), "found[0].mask.counts"),
        (_changed(mask=None), "found[0].mask"),
        (_changed(attributes={"colour": 3}), "found[0].attributes.colour"),
        (_changed(attributes=[]), "found[0].attributes"),
        (_changed(instance=None), "found[0].instance"),
        (_changed(colour="red"), "found[0].colour"),
    ],
)
def test_errors_name_the_field(document, path):
    with pytest.raises(SceneError) as fault:
        Findings.from_json(document)
    assert fault.value.path == path


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(StorageError):
        Findings.read(tmp_path / "none.findings.json")
    broken = tmp_path / "x.findings.json"
    broken.write_text('{"picture": "x"}')
    with pytest.raises(SceneError, match=r"x\.findings\.json.*judge"):
        Findings.read(broken)
    with pytest.raises(InputError, match="no file name"):
        Findings("../x", "j", SIZE).write(tmp_path)
