"""The reader accepts exactly what the published schema accepts; oracle: the jsonschema package.

The package checks the plain keywords; our own ``x-`` keywords are written here a second time, slowly.
"""

from __future__ import annotations

import base64
import copy
import json
import math
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema.validators import extend
from scene_strategies import QUICK, scenes, values

from scenewright.errors import SceneError
from scenewright.scene import Scene, json_schema, structure
from scenewright.scene.jsonschema import schema_text

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "scene.schema.json"


def run_lengths(text):
    """COCO's text of run lengths, one letter at a time."""
    runs, number, shift = [], 0, 0
    for letter in text:
        code = ord(letter) - 48
        assert 0 <= code < 64 and shift < 60
        number |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                number -= 1 << shift
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number, shift = 0, 0
    assert shift == 0 and all(run >= 0 for run in runs)
    return runs


def rule(test):
    """A keyword that holds where `test` does; values of another kind are left to the other keywords."""

    def keyword(validator, wanted, value, schema):
        if wanted:
            try:
                fits = test(value)
            except (AssertionError, ValueError, zlib.error):
                fits = False
            except (TypeError, KeyError, IndexError):
                fits = True
            if not fits:
                yield jsonschema.ValidationError("own rule")

    return keyword


def fills(mask):
    height, width = mask["size_hw"]
    return sum(run_lengths(mask["counts"])) == height * width


def unpacks(labels):
    height, width = labels["size_hw"]
    reader = zlib.decompressobj()
    raw = reader.decompress(base64.b64decode(labels["data"], validate=True)) + reader.flush()
    return reader.eof and not reader.unused_data and len(raw) == 2 * height * width


def unique_ids(items):
    ids = [item["id"] for item in items if isinstance(item, dict) and "id" in item]
    return all(ids.count(one) == 1 for one in ids)


def one_size(scene):
    found = [scene.get("semantic_map")]
    for item in scene.get("instances", []):
        found += [item.get("mask"), *(part.get("mask") for part in item.get("parts", []))]
    return all(mask["size_hw"] == scene["size_wh"][::-1] for mask in found if mask)


Oracle = extend(
    jsonschema.Draft202012Validator,
    {
        "x-box": rule(lambda box: box[0] < box[2] and box[1] < box[3]),
        "x-run-lengths": rule(fills),
        "x-labels": rule(unpacks),
        "x-one-size": rule(one_size),
        "x-unique": lambda v, key, value, s: rule(unique_ids)(v, key == "id", value, s),
    },
)
ORACLE = Oracle(json_schema())


def finite(value):
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(finite(item) for item in value.values())
    return all(finite(item) for item in value) if isinstance(value, list) else True


def accepts(document):
    kept = copy.deepcopy(document)
    try:
        Scene.from_json(document)
    except SceneError as error:
        assert str(error)
        return False
    finally:
        assert repr(document) == repr(kept)
    return True


def same_verdict(document):
    assert accepts(document) == (finite(document) and ORACLE.is_valid(document))


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    first = json_schema()
    first["$defs"].clear()
    assert json_schema()["$defs"]


def test_the_reader_knows_every_keyword_of_the_schema():
    """Keywords are looked for in the reader's source: one that it does not read would be silently ignored."""
    source = Path(structure.__file__).read_text(encoding="utf-8")
    silent = {"$schema", "$id", "$defs", "title", "description"}

    def walk(schema):
        for key, value in schema.items():
            assert key in silent or key.startswith("x-") or f'"{key}"' in source, key
            if key in ("properties", "$defs"):
                for item in value.values():
                    walk(item)
            elif isinstance(value, dict):
                walk(value)

    walk(json_schema())


def test_smallest_scene():
    assert accepts({"prompt": "", "size_wh": [8, 8]})
    same_verdict({"prompt": "", "size_wh": [8, 8]})


@QUICK
@given(scenes())
def test_what_is_written_is_valid(scene):
    document = scene.to_json()
    ORACLE.validate(document)
    assert Scene.from_json(json.loads(json.dumps(document))) == scene


def places(value, path=()):
    """Every place in a document."""
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for k, item in enumerate(value):
            yield from places(item, (*path, k))


ODD_NUMBERS = [0, 1, -1, 2, 7, 8, 9, 16, 0.5, 8.0, 1.5, -0.0, 1e-300, 2**53, 2**53 - 1, 10**400, 16384, 16392]
ODD_TEXTS = ["", " ", "x", "x\n", "a.b", "coco", "coco17", "i1", "-x", "\x1c", "é", "0a" * 32, "P2", "box"]
ODD_LISTS = [[], [0.2, 0.2, 0.4, 0.4], [0, 0, 1, 1], [0.4, 0.2, 0.4, 0.4], [8, 8], [16, 8], [[0, 0], [1, 1]]]
ODD_OBJECTS = [
    {},
    {"size_hw": [8, 8], "counts": "P2"},
    {"size_hw": [8, 8], "counts": "00P2"},
    {"path": "a.png"},
    {"phrase": "cat"},
    {"points": []},
    [{"phrase": "cat", "id": "i2"}, {"phrase": "cat", "id": "i2"}],
]
odd = st.sampled_from([None, True, False, *ODD_NUMBERS, *ODD_TEXTS, *ODD_LISTS, *ODD_OBJECTS])
numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers()
anything = odd | numbers | values
keys = st.sampled_from(
    "id box bbox mask phrase schema_version picture extra z points seed x path parts size_hw counts size_wh "
    "semantic_map negative org.example A skeleton".split()
)


@st.composite
def damaged(draw):
    """A valid document with a few places changed, removed, doubled or added."""
    document = copy.deepcopy(draw(scenes()).to_json())
    if draw(st.booleans()):
        document.pop("schema_version")
    for _ in range(draw(st.integers(1, 3))):
        found = [path for path in places(document) if path and "extra" not in path[:-1]]
        if not found:
            break
        *way, last = draw(st.sampled_from(found))
        holder = document
        for step in way:
            holder = holder[step]
        action = draw(st.sampled_from(["change", "remove", "double", "add", "add"]))
        if action == "remove":
            del holder[last]
        elif action == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        elif action == "add" and isinstance(holder, dict):
            holder[draw(keys)] = copy.deepcopy(draw(anything))
        else:
            holder[last] = copy.deepcopy(draw(anything))
    return document


@QUICK
@given(damaged())
def test_reader_and_schema_agree_on_damaged_documents(document):
    same_verdict(document)


@QUICK
@given(scenes(), st.integers(0, 2) | st.just(0.0) | st.booleans())
def test_reader_and_schema_agree_on_older_documents(scene, version):
    document = scene.to_json()
    for item in document["instances"]:
        del item["id"]
        if "box" in item:
            item["bbox"] = item.pop("box")
    document["schema_version"] = version
    same_verdict(document)
    if version == 0 and version is not False:
        assert [item.box for item in Scene.from_json(document).instances] == [i.box for i in scene.instances]


@QUICK
@given(anything)
def test_reader_and_schema_agree_on_no_scene_at_all(document):
    same_verdict(document)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have(number):
    for extra in ({"coco": number}, {"coco": [1, {"a": number}]}):
        assert not accepts({"prompt": "", "size_wh": [8, 8], "extra": extra})


@pytest.mark.parametrize(
    "data",
    [b"", b"x", zlib.compress(b"\0" * 127), zlib.compress(b"\0" * 129), zlib.compress(b"\0" * 128)[:-3]],
)
def test_labels_must_fill_the_size(data):
    labels = {"vocabulary": "voc", "size_hw": [8, 8], "data": base64.b64encode(data).decode() or "="}
    document = {"prompt": "", "size_wh": [8, 8], "semantic_map": labels}
    assert not accepts(document)
    same_verdict(document)
    labels["data"] = base64.b64encode(zlib.compress(struct.pack("<64H", *range(64)))).decode()
    assert accepts(document)
    same_verdict(document)


def test_a_small_file_does_not_fill_the_memory():
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000))).decode()
    labels = {"vocabulary": "voc", "size_hw": [8, 8], "data": bomb}
    with pytest.raises(
        SceneError, match=r"semantic_map\.data: expected 128 bytes of labels for this size, got more"
    ):
        Scene.from_json({"prompt": "", "size_wh": [8, 8], "semantic_map": labels})


def test_the_committed_schema_is_current():
    assert COMMITTED.read_text(encoding="utf-8") == schema_text(), (
        "run: python -m scenewright.scene.jsonschema docs/reference/scene.schema.json"
    )


def test_the_schema_can_be_written(tmp_path):
    command = [sys.executable, "-m", "scenewright.scene.jsonschema"]
    done = subprocess.run([*command, str(tmp_path / "s.json")], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert json.loads((tmp_path / "s.json").read_text()) == json_schema()
    assert "usage" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
