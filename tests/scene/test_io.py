"""Pictures in and out: every kind of file, the document inside a PNG, and files that are whole or absent."""

from __future__ import annotations

import io as memory
import os
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from scenewright.errors import InputError, StorageError
from scenewright.scene import io
from scenewright.scene.files import atomic_write, atomic_write_all, parse_json, read_bytes


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)


def as_file(tmp_path, picture, name, **options):
    path = tmp_path / name
    picture.save(path, **options)
    return path


def test_png_keeps_pixels_and_document(picture, tmp_path):
    document = {"scene": {"prompt": "a cat ☃", "numbers": [0.1, 1e-300, -3]}, "other": None}
    path = io.write_png(tmp_path / "a.png", picture, document)
    assert np.array_equal(io.read_image(path), picture)
    assert io.read_png_document(path) == document


def test_png_without_document(picture, tmp_path):
    assert io.read_png_document(io.write_png(tmp_path / "a.png", picture)) is None
    with pytest.raises(InputError, match="holds no scene"):
        io.read_png_scene(tmp_path / "a.png")


def test_document_of_many_mib_opens_in_pillow(picture):
    noise = np.random.default_rng(1).integers(0, 256, 3 * 2**20, np.uint8).tobytes().hex()
    content = io.png_bytes(picture, {"noise": noise})
    assert len(content) > 3 * 2**20
    opened = Image.open(memory.BytesIO(content))
    opened.verify()
    assert np.array_equal(np.asarray(Image.open(memory.BytesIO(content))), picture)
    assert io.png_document(content) == {"noise": noise}


def test_same_input_same_bytes(picture):
    assert io.png_bytes(picture, {"b": 1, "a": 2}) == io.png_bytes(picture.copy(), {"a": 2, "b": 1})


def forged(picture, payload):
    """A PNG with that payload in our chunk."""
    plain = io.png_bytes(picture)
    chunk = struct.pack(">I", len(payload)) + io.CHUNK + payload
    return plain[:33] + chunk + struct.pack(">I", zlib.crc32(io.CHUNK + payload)) + plain[33:]


def test_reading_is_bounded(picture, monkeypatch):
    monkeypatch.setattr(io, "MAX_UNPACKED", 2**20)
    bomb = forged(picture, io.MAGIC + zlib.compress(b" " * 2**24, 9))
    assert len(bomb) < 2**16
    with pytest.raises(InputError, match="unpacks to more than 1,048,576 bytes"):
        io.png_document(bomb)
    with pytest.raises(InputError, match="at most"):
        io.png_bytes(picture, {"a": "x" * 2**21})


def test_a_later_version_and_a_damaged_document(picture):
    with pytest.raises(InputError, match="format 9"):
        io.png_document(forged(picture, io.MAGIC[:-1] + b"\x09"))
    with pytest.raises(StorageError, match="damaged"):
        io.png_document(forged(picture, io.MAGIC + b"no zlib"))
    with pytest.raises(StorageError, match="cut off"):
        io.png_document(forged(picture, io.MAGIC + zlib.compress(b'{"a": 12345678}')[:-6]))
    flipped = bytearray(io.png_bytes(picture, {"a": 1}))
    flipped[60] ^= 1
    with pytest.raises(StorageError, match="damaged"):
        io.png_document(bytes(flipped))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_truncated_png_says_so(picture, share):
    content = io.png_bytes(picture, {"scene": list(range(2000))})
    cut = content[: int(len(content) * share)]
    for read in (io.png_document, io.decode_image):
        with pytest.raises(StorageError, match=r"cut off|damaged") as caught:
            read(cut)
        assert "again" in caught.value.hint


def test_truncated_jpeg_and_files_that_are_no_pictures(picture, tmp_path):
    path = as_file(tmp_path, Image.fromarray(picture), "a.jpg")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(StorageError, match="cut off"):
        io.read_image(path)
    (tmp_path / "b.png").write_text("not a picture")
    with pytest.raises(InputError, match="is not a picture"):
        io.read_image(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        io.read_image(tmp_path / "c.png")


def test_orientation_is_applied(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = as_file(tmp_path, Image.fromarray(picture), "a.png", exif=exif)
    assert np.array_equal(io.read_image(path), np.rot90(picture, -1))


def test_grey_palette_alpha_and_deep_pictures(picture, tmp_path):
    grey = picture[..., 0]
    for mode in ("L", "P"):
        path = as_file(tmp_path, Image.fromarray(grey).convert(mode), "a.png")
        assert np.array_equal(io.read_image(path), np.stack([grey] * 3, -1))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(io.read_image(as_file(tmp_path, deep, "b.png"))[..., 1], grey)
    alpha = np.dstack([picture, np.zeros_like(grey)])
    assert (io.read_image(as_file(tmp_path, Image.fromarray(alpha, "RGBA"), "c.png")) == 255).all()
    alpha[..., 3] = 255
    assert np.array_equal(io.read_image(as_file(tmp_path, Image.fromarray(alpha, "RGBA"), "d.png")), picture)


def test_cmyk_jpeg(tmp_path):
    red = Image.new("RGB", (16, 16), (200, 30, 30)).convert("CMYK")
    found = io.read_image(as_file(tmp_path, red, "a.jpg", quality=95))
    assert np.abs(found.astype(int) - (200, 30, 30)).max() < 12


def test_labels_keep_their_numbers(tmp_path):
    labels = np.random.default_rng(0).integers(0, 256, (9, 7), np.uint8)
    coloured = Image.fromarray(labels).convert("P")
    coloured.putdata(labels.ravel().tolist())
    coloured.putpalette(list(range(256))[::-1] * 3)
    assert np.array_equal(io.read_labels(as_file(tmp_path, coloured, "a.png")), labels)
    deep = labels.astype(np.uint16) * 200
    assert np.array_equal(io.read_labels(as_file(tmp_path, Image.fromarray(deep), "b.png")), deep)
    with pytest.raises(InputError, match="RGB picture"):
        io.read_labels(as_file(tmp_path, Image.new("RGB", (4, 4)), "c.png"))


def test_label_files_of_datasets(data_dir):
    labels = io.read_labels(data_dir / "gta_labels" / "06835_labelTrainIds.png")
    assert labels.shape == (1052, 1914) and set(np.unique(labels)) <= {*range(19), 255}
    ade = io.read_labels(data_dir / "ade20k10" / "segmentations" / "ADE_val_00000123.png")
    assert ade.max() <= 150


def test_masks_from_alpha_or_brightness(tmp_path):
    shape = np.zeros((8, 8), bool)
    shape[2:5, 3:7] = True
    bright = memory.BytesIO()
    Image.fromarray(shape.astype(np.uint8) * 255).save(bright, "PNG")
    alpha = memory.BytesIO()
    layers = np.dstack([np.zeros((8, 8, 3), np.uint8), shape * np.uint8(255)])
    Image.fromarray(layers, "RGBA").save(alpha, "PNG")
    for content in (bright, alpha):
        assert np.array_equal(io.mask_from_png(content.getvalue()), shape)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (0, 8, 3)])
def test_arrays_that_are_no_picture(shape, tmp_path):
    with pytest.raises(InputError, match="expected \\(height, width, 3\\)"):
        io.write_png(tmp_path / "a.png", np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())


# --- files -------------------------------------------------------------------------------------------------


def test_several_files_appear_together_or_not_at_all(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(StorageError):
        atomic_write_all({tmp_path / "a.txt": b"1", tmp_path / "b": b"2"})
    os.rmdir(tmp_path / "b")
    atomic_write(tmp_path / "file", b"x")
    with pytest.raises(StorageError, match="cannot write"):
        atomic_write_all({tmp_path / "a.txt": b"1", tmp_path / "file" / "c.txt": b"2"})
    assert [p.name for p in tmp_path.iterdir() if p.name != "a.txt"] == ["file"]


def test_a_folder_of_the_same_name_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        atomic_write(tmp_path / "a", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


FULL = """
import resource, signal, sys
from pathlib import Path
from scenewright.errors import StorageError
from scenewright.scene.files import atomic_write
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    atomic_write(Path(sys.argv[1]), b"x" * 5000)
except StorageError as fault:
    print(fault.message, "|", fault.hint)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limits on this system")
def test_a_full_disk_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.bin"
    atomic_write(target, b"old")
    command = [sys.executable, "-c", FULL, str(target)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write" in found.stdout and "larger than this system allows" in found.stdout
    assert target.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_files_get_ordinary_permissions(tmp_path):
    atomic_write(tmp_path / "a", b"x")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~mask


def test_missing_files_name_the_nearest(tmp_path):
    (tmp_path / "two-cats.scene.json").write_text("{}")
    with pytest.raises(StorageError) as caught:
        read_bytes(tmp_path / "two-cat.scene.json")
    assert "two-cats.scene.json" in caught.value.hint
    with pytest.raises(StorageError, match="is a folder"):
        read_bytes(tmp_path)
    with pytest.raises(StorageError) as caught:
        read_bytes(tmp_path / "nowhere" / "x.json")
    assert "does not exist" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b'{"a": 1,}', "line 1, column 9|line 1, column 8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"\x89PNG\r\n\x1a\n....", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[" * 200_000, "nested"),
    ],
)
def test_files_that_are_no_json(content, words):
    with pytest.raises(InputError, match=words):
        parse_json(content, "a.json")


def test_a_byte_order_mark_is_allowed():
    assert parse_json(b'\xef\xbb\xbf{"a": [1]}', "a.json") == {"a": [1]}
