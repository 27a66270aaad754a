"""``scenewright segment``: files, formats, keeping, and what cannot be segmented."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenewright.scene.io import read_image, read_labels

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def told(tiny_model: str, tiny_segmenter: Path) -> list[object]:
    return ["--model", tiny_model.partition("+")[0], "--segmenter", tiny_segmenter, "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture in many formats, mixed sizes."""
    place = tmp_path_factory.mktemp("pictures")
    image = Image.fromarray(RGB)
    image.save(place / "plain.png")
    image.resize((200, 130)).save(place / "large.jpg")
    image.convert("L").save(place / "grey.png")
    image.convert("CMYK").save(place / "ink.jpg")
    rgba = image.convert("RGBA")
    rgba.putalpha(Image.fromarray(RGB[..., 0]))
    rgba.save(place / "alpha.png")
    Image.fromarray(RGB[..., 0].astype(np.uint16) * 257).save(place / "deep.png")
    exif = Image.Exif()
    exif[274] = 6
    image.save(place / "turned.jpg", exif=exif)
    Image.new("RGB", (1, 1), (10, 200, 30)).save(place / "one.png")
    (place / "plain.labels.png").write_bytes((place / "plain.png").read_bytes())
    return place


def test_a_folder_of_all_formats(cli: Callable, told: list, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = cli("segment", folder, *told, "--classes", "cat,sky", "--classes", "dog", "--out", out, "--json")
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    assert len(lines) == 9 and [one["state"] for one in lines[:8]] == ["made"] * 8 and "sheet" in lines[8]
    sizes = {Path(one["picture"]).name: read_labels(one["labels"]).shape for one in lines[:8]}
    assert sizes["turned.jpg"] == (56, 40) and sizes["large.jpg"] == (130, 200) and sizes["one.png"] == (1, 1)
    report = json.loads((out / "plain.segment.json").read_text())
    assert report["classes"] == 3 and report["background"] == "names" and report["size_wh"] == [56, 40]
    assert sum(one["pixels"] for one in report["found"]) == 56 * 40
    labels = read_labels(out / "plain.labels.png")
    assert {one["id"] for one in report["found"]} == set(np.unique(labels)) <= {0, 1, 2, 3}
    assert (
        Image.open(out / "plain.labels.png").mode == "L"
        and Image.open(out / "plain.score.png").mode == "I;16"
    )
    assert (
        read_labels(out / "plain.score.png").shape == (40, 56) == read_labels(out / "plain.entropy.png").shape
    )
    assert read_image(out / "plain.overlay.png").shape[1] > read_image(out / "plain.overlay.png").shape[0]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    again = cli("segment", folder, *told, "--classes", "cat,sky,dog", "--out", out, "--json")
    assert [json.loads(line)["state"] for line in again.out.splitlines()[:8]] == ["kept"] * 8
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    other = cli("segment", folder, *told, "--classes", "cat", "--out", out)
    assert other.code == 2 and "made in another way" in other.err and "--overwrite" in other.err


def test_vocabularies_with_16_bits(cli: Callable, told: list, folder: Path, tmp_path: Path) -> None:
    ended = cli(
        "segment", folder / "plain.png", *told, "--vocabulary", "ade20k-full", "--out", tmp_path / "out"
    )
    assert ended.code == 0, ended.err
    assert Image.open(tmp_path / "out" / "plain.labels.png").mode == "I;16"


def test_one_bad_picture_does_not_stop_the_others(
    cli: Callable, told: list, folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "good.png").write_bytes((folder / "plain.png").read_bytes())
    (source / "cut.jpg").write_bytes((folder / "large.jpg").read_bytes()[:600])
    (source / "text.png").write_text("this is no picture")
    ended = cli(
        "segment", source, *told, "--classes", "cat", "--background", "none", "--out", tmp_path / "out"
    )
    assert ended.code == 1 and "2 of 3 pictures failed" in ended.err
    assert (tmp_path / "out" / "good.labels.png").is_file()
    failed = [json.loads(line) for line in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    assert {Path(one["picture"]).name for one in failed} == {"cut.jpg", "text.png"}
    assert all(one["error"] and one["hint"] for one in failed)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "nothing was named to look for"),
        (["--classes", "cat,Cat"], "named 2 times"),
        (["--classes", "cat,,dog"], "is empty"),
        (["--classes", "of"], "names nothing"),
        (["--vocabulary", "vco"], "no vocabulary 'vco'"),
        (["--classes", "cat", "--background", "nmaes"], "unknown background policy"),
        (["--classes", "cat", "--tile", "3"], "tile is 3"),
        (["--classes", "cat", "--background", "none", "--behind", "sky"], "names of the background"),
    ],
)
def test_what_cannot_be_asked(
    cli: Callable, told: list, folder: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    ended = cli("segment", folder / "plain.png", *told, *options, "--out", tmp_path / "out")
    assert ended.code == 2 and words in ended.err and "hint: " in ended.err and not ended.out


@pytest.mark.parametrize("name", ["text.png", "missing.png", "cut.jpg"])
def test_a_single_bad_picture_is_an_error(
    cli: Callable, told: list, folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes((folder / "large.jpg").read_bytes()[:600])
    ended = cli("segment", tmp_path / name, *told, "--classes", "cat", "--out", tmp_path / "out")
    assert ended.code == 2 and name in ended.err and not (tmp_path / "out").exists()


def test_segmenters_are_no_layout_adapters(
    cli: Callable, tiny_model: str, tiny_segmenter: Path, tmp_path: Path, folder: Path
) -> None:
    base = tiny_model.partition("+")[0]
    ended = cli("generate", "--prompt", "a cat", "--model", f"{base}+{tiny_segmenter}", "--out", tmp_path)
    assert ended.code == 2 and "scenewright segment" in ended.err
    ended = cli(
        "segment", folder / "plain.png", "--model", base, "--classes", "cat", "--out", tmp_path / "out"
    )
    assert ended.code == 2 and "no segmenter for" in ended.err and "--segmenter FILE" in ended.err


@pytest.mark.slow
def test_a_panorama_of_8000_pixels_and_10000_classes(cli: Callable, told: list, tmp_path: Path) -> None:
    wide = np.tile(np.repeat(RGB, 4, 0), (1, 143, 1))[:128, :8000]
    Image.fromarray(wide).save(tmp_path / "wide.png")
    ended = cli(
        "segment",
        tmp_path / "wide.png",
        *told,
        "--classes",
        "cat,sky",
        "--tile",
        "256",
        "--out",
        tmp_path / "a",
    )
    assert ended.code == 0 and read_labels(tmp_path / "a" / "wide.labels.png").shape == (128, 8000)
    (tmp_path / "many.json").write_text(json.dumps([f"thing {k}" for k in range(10_000)]))
    Image.fromarray(RGB).save(tmp_path / "small.png")
    ended = cli(
        "segment",
        tmp_path / "small.png",
        *told,
        "--vocabulary",
        tmp_path / "many.json",
        "--background",
        "none",
        "--out",
        tmp_path / "b",
    )
    assert ended.code == 0, ended.err
    assert 1 <= read_labels(tmp_path / "b" / "small.labels.png").min()
