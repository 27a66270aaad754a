"""What a hostile first user tried: each test is a crash, a silent loss or a wrong message that was there."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFont

from scenewright.data import coco
from scenewright.data.detect import read_scenes
from scenewright.errors import InputError, SceneError, StorageError
from scenewright.flows.jobs import Request, jobs, read, sized
from scenewright.flows.world_sample import SampleOptions
from scenewright.models.pull import check, pull
from scenewright.models.store import remember
from scenewright.scene import Mask, Record, Scene
from scenewright.scene import io as picture_files
from scenewright.scene.files import parse_json, read_bytes
from scenewright.scene.text import legible, shorten

GOOD = {
    "prompt": "a car",
    "size_wh": [64, 64],
    "instances": [{"phrase": "a car", "box": [0.1, 0.1, 0.6, 0.6]}],
}
LAYOUT = {"caption": "c", "width": 64, "height": 64, "annos": [{"caption": "a", "bbox": [1, 1, 9, 9]}]}
CAT = {"id": 0, "image_id": 0, "category_id": 0, "bbox": [1, 1, 20, 20], "iscrowd": 0, "area": 400}
PHOTO = {"id": 0, "width": 64, "height": 48, "file_name": "a.jpg"}
HUGE = 10**400


def cats(**changes: Any) -> dict[str, Any]:
    """A COCO file of one cat."""
    return {
        "images": [{**PHOTO, **changes.pop("image", {})}],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [{**CAT, **changes}],
    }


def written(folder: Path, document: Any) -> Path:
    path = folder / "given.json"
    path.write_text(json.dumps(document))
    return path


# --- readers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "fmt", "says"),
    [
        ({**LAYOUT, "annos": [{"caption": "a", "bbox": [1, 1, 9, HUGE]}]}, "auto", "a number of"),
        ({**LAYOUT, "width": HUGE}, "auto", "from 1 to 16384"),
        ({"prompt": "a", "phrases": ["a"], "boxes": [[0, 0, 1, HUGE]]}, "auto", "a number of"),
        (cats(segmentation=[[HUGE, 1, 2, 2, 3, 3]]), "auto", "polygon"),
        (cats(segmentation={"size": 48, "counts": [1]}), "auto", "size 48, the picture [48, 64]"),
        ({"images": [PHOTO], "annotations": [{"image_id": [0], "caption": "a"}]}, "auto", "image_id"),
        ({"images": [PHOTO], "annotations": [{"image_id": 9, "caption": "a"}]}, "auto", "id 9 in `images`"),
        ({"images": [], "categories": [], "annotations": []}, "auto", "holds no scene"),
        ([], "scene", "holds no scene"),
        ([], "prompts", "holds no scene"),
        ({**LAYOUT, "foo": json.loads("[" * 400 + "]" * 400)}, "planned", "nested too deeply"),
        ({**GOOD, "extra": {"a": json.loads("[" * 300 + "]" * 300)}}, "auto", "nested too deeply"),
    ],
)
def test_refused_with_a_message_and_a_hint(document: Any, fmt: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_scenes(written(tmp_path, document), fmt)
    assert says in str(caught.value)
    assert caught.value.hint or isinstance(caught.value, SceneError)


def test_empty_polygons_are_no_mask_and_come_back() -> None:
    for empty in ([], [[]]):
        document = cats(segmentation=empty)
        scenes = coco.from_json(document, "f")
        assert scenes[0].instances[0].mask is None
        assert coco.to_json(scenes)["annotations"] == document["annotations"]


def test_whole_numbers_may_be_written_with_a_point(tmp_path: Path) -> None:
    scene = read_scenes(written(tmp_path, cats(image={"width": 64.0, "height": 48.0})))[0]
    assert scene.size_wh == (64, 48) and type(scene.size_wh[0]) is int


def test_repeated_keys_are_found_in_a_large_object_at_once() -> None:
    text = "{" + ",".join(f'"k{k}":1' for k in range(40_000)) + ',"k39999":2}'
    began = time.process_time()
    with pytest.raises(InputError, match="'k39999' occurs twice"):
        parse_json(text.encode(), "f")
    assert time.process_time() - began < 2


def test_files_without_end_are_not_read_to_the_end() -> None:
    with pytest.raises(StorageError, match="at most 5,000 are read"):
        read_bytes("/dev/zero", limit=5000)


def test_names_that_are_too_long_are_no_crash(tmp_path: Path, cli: Any) -> None:
    with pytest.raises(StorageError, match="too long"):
        read_bytes("a red car " * 40)
    ended = cli("generate", "a red car " * 40)
    assert ended.code == 2 and "--prompt" in ended.err
    ended = cli("generate", written(tmp_path, GOOD), "--out", tmp_path / ("x" * 300))
    assert ended.code == 2 and "Choose a shorter name" in ended.err


# --- jobs --------------------------------------------------------------------------------------------------


def test_an_overlay_never_takes_a_pictures_name(tmp_path: Path) -> None:
    files = []
    for name in ("cat", "cat.overlay", "cat.Overlay.overlay"):
        Scene(name, (64, 64)).write(tmp_path / f"{name}.scene.json")
        files.append(tmp_path / f"{name}.scene.json")
    names = [one.name.lower() for one in read(Request(files=tuple(files)))]
    assert not {f"{name}.overlay" for name in names} & set(names) and len(set(names)) == 3


def test_a_scene_of_8_by_8_keeps_its_size() -> None:
    full = Mask((8, 8), "0P2")
    scene = Scene.from_json({"prompt": "", "size_wh": [8, 8], "instances": [
        {"phrase": "x", "mask": {"size_hw": [8, 8], "counts": full.counts}}]})  # fmt: skip
    request = Request(prompts=("a dog",))
    named = read(request)
    small = [named[0].__class__("small", scene)]
    assert sized(small, request, (128, 128))[0][0].scene == scene
    assert sized(named, request, (128, 128))[0][0].scene.size_wh == (128, 128)


def test_seeds_end_before_anything_is_drawn() -> None:
    request = Request(prompts=("a",), size_wh=(64, 64), count=2)
    last = read(request)[0]
    last = last.__class__(last.name, last.scene.replace(seed=2**53 - 1))
    with pytest.raises(InputError, match="seeds end at"):
        jobs([last], request)
    with pytest.raises(InputError, match="seed"):
        SampleOptions(seed=2**53 - 1, count=2)
    with pytest.raises(InputError, match="count"):
        Request(prompts=("a",), count=10**9)


@pytest.mark.parametrize("standing", ["mine.scene.json", "mine.png"])
def test_files_of_the_user_are_never_replaced(
    standing: str, cli: Any, tiny_model: str, tmp_path: Path
) -> None:
    """Drawing into the folder of a hand-written scene, or beside a photograph of the same name."""
    given = tmp_path / "given" / "mine.scene.json"
    given.parent.mkdir()
    given.write_text(json.dumps(GOOD))
    if standing == "mine.png":
        Image.new("RGB", (8, 8)).save(tmp_path / standing)
    else:
        (tmp_path / standing).write_text(json.dumps(GOOD))
    before = (tmp_path / standing).read_bytes()
    words = ["generate", given, "--model", tiny_model, "--steps", 1, "--size", 32, "--out", tmp_path]
    ended = cli(*words)
    assert ended.code == 2 and f"{standing} is there already" in ended.err and "--overwrite" in ended.err
    assert (tmp_path / standing).read_bytes() == before
    assert cli(*words, "--overwrite").code == 0


def test_a_run_that_ended_before_its_picture_appeared_goes_on(
    cli: Any, tiny_model: str, tmp_path: Path
) -> None:
    png = drawn(cli, tiny_model, tmp_path)
    before = png.read_bytes()
    png.unlink()
    assert drawn(cli, tiny_model, tmp_path).read_bytes() == before


@pytest.mark.parametrize("size", ["0", "8x0", "99992"])
def test_sizes_out_of_range_are_named_as_given(size: str, cli: Any, tmp_path: Path) -> None:
    ended = cli("generate", written(tmp_path, GOOD), "--size", size)
    assert ended.code == 2 and f"size '{size}'" in ended.err and "from 1 to 16384" in ended.err


# --- records -----------------------------------------------------------------------------------------------


def drawn(cli: Any, model: str, folder: Path, *words: object) -> Path:
    ended = cli(
        "generate", written(folder, GOOD), "--model", model, "--steps", 1, "--out", folder / "o", *words
    )
    assert ended.code == 0, ended.err
    return folder / "o" / "given.png"


def with_document(png: Path, payload: bytes) -> None:
    """Replace the document inside a picture by other bytes."""
    raw = png.read_bytes()
    at = raw.index(picture_files.CHUNK) - 4
    end = at + 12 + struct.unpack_from(">I", raw, at)[0]
    crc = struct.pack(">I", zlib.crc32(picture_files.CHUNK + payload))
    png.write_bytes(
        raw[:at] + struct.pack(">I", len(payload)) + picture_files.CHUNK + payload + crc + raw[end:]
    )


def test_a_record_made_with_other_options_says_so(cli: Any, tiny_model: str, tmp_path: Path) -> None:
    png = drawn(cli, tiny_model, tmp_path)
    again = ["generate", png, "--model", tiny_model, "--steps"]
    ended = cli(*again, 2, "--out", tmp_path / "other")
    assert ended.code == 0 and "was made with steps 1, now 2: expect another picture" in ended.err
    ended = cli(*again, 1, "--out", tmp_path / "same")
    assert ended.code == 0 and "expect another picture" not in ended.err
    assert (tmp_path / "same" / "given.png").read_bytes() == png.read_bytes()


def test_a_document_cut_to_its_mark_is_no_document(cli: Any, tiny_model: str, tmp_path: Path) -> None:
    png = drawn(cli, tiny_model, tmp_path)
    with_document(png, picture_files.MAGIC[:-1])
    assert picture_files.read_png_document(png) is None


@pytest.mark.parametrize("key", ["provenance", "scores", "masks"])
def test_a_malformed_record_is_an_error_and_no_crash(
    key: str, cli: Any, tiny_model: str, tmp_path: Path
) -> None:
    png = drawn(cli, tiny_model, tmp_path)
    document = {**picture_files.read_png_document(png), key: "abc"}
    with_document(png, picture_files.MAGIC + zlib.compress(json.dumps(document).encode()))
    with pytest.raises(InputError, match=f"{key}: expected an object"):
        Record.load(png)
    ended = cli(
        "generate", tmp_path / "given.json", "--model", tiny_model, "--steps", 1, "--out", tmp_path / "o"
    )
    assert ended.code == 2 and "Traceback" not in ended.err
    expected = "made in another way" if key == "provenance" else f"{key}: expected an object"
    assert expected in ended.err, ended.err


# --- letters -----------------------------------------------------------------------------------------------


def test_letters_the_font_lacks_are_replaced() -> None:
    assert legible("café – naïve\nStraße 2×") == "cafe - naive Strasse 2x"
    assert legible("赤い車") == "赤い車"
    letters = ImageFont.load_default(20)
    missing = bytes(letters.getmask("\u0fff"))
    shown = legible("éüñçåÁ×—–“”’…°ø")
    assert all(bytes(letters.getmask(letter)) != missing for letter in shown)
    assert "\n" not in shorten("two\nlines", letters, 1000)


def test_output_in_letters_the_terminal_lacks(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "scenewright",
        "world",
        "sample",
        "--count",
        "1",
        "--out",
        tmp_path / "ü赤",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("\\xfc\\u8d64/sheet.png")


# --- models ------------------------------------------------------------------------------------------------


def test_models_that_were_added_are_known_to_check_and_pull(
    tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCENEWRIGHT_HOME", str(tmp_path / "home"))
    place = tmp_path / "mine"
    shutil.copytree(tiny_model.partition("+")[0], place)
    remember("mine", place, "backbone")
    rows = check("mine")
    assert rows and {row.state for row in rows} == {"ok"} and "nothing to compare" in rows[0].detail
    assert pull("mine") == [place]
    shutil.rmtree(place)
    assert [row.state for row in check("mine")] == ["missing"]
