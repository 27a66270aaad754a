"""Files: pictures in and out, and the scene that travels inside a PNG.

A PNG written here carries one private chunk, ``scNe``, holding a JSON document compressed with zlib. Text
chunks would not do: Pillow refuses to open a picture whose text chunks pass 1 MiB, and a scene with many
masks reaches that. Unknown private chunks are skipped by every reader, whatever their size (PNG
specification, "chunk naming conventions": lower case s is ancillary, c private, e safe to copy).

Chunk payload: ``b"scenewright\\0"``, one byte of format version (1), then a zlib stream of UTF-8 JSON.

Shape suffixes: H W pixels, 3 red green blue. Pillow is imported inside the functions that need it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError, StorageError
from scenewright.scene.files import (
    atomic_write,
    atomic_write_all,
    cannot,
    is_picture,
    parse_json,
    read_bytes,
    read_json,
    to_json_bytes,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from scenewright.scene.schema import Scene

__all__ = [
    "MAX_PACKED",
    "MAX_PIXELS",
    "MAX_UNPACKED",
    "atomic_write",
    "atomic_write_all",
    "cannot",
    "check_image",
    "cutout_png_bytes",
    "decode_image",
    "gif_bytes",
    "grey_png_bytes",
    "is_picture",
    "mask_from_png",
    "mask_png_bytes",
    "parse_json",
    "picture_size",
    "png_bytes",
    "png_document",
    "read_bytes",
    "read_image",
    "read_json",
    "read_labels",
    "read_png_document",
    "read_png_scene",
    "to_json_bytes",
    "write_png",
]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNK = b"scNe"
MAGIC = b"scenewright\x00\x01"

MAX_PACKED = 64 * 2**20
"""Largest compressed document that is read or written, in bytes."""
MAX_UNPACKED = 256 * 2**20
"""Largest document that is read or written, in bytes: a small file cannot fill the memory."""
MAX_PIXELS = 120_000_000
"""Largest picture that is opened, in pixels."""

# --- pictures ----------------------------------------------------------------------------------------------


def read_image(path: Path | str) -> npt.NDArray[np.uint8]:
    """A picture file as HW3 uint8: turned upright by its EXIF orientation, alpha laid on white; grey,
    palette, CMYK and 16-bit pictures are converted.

    Raises StorageError (missing, truncated) or InputError (no picture, more than `MAX_PIXELS`).
    """
    return decode_image(read_bytes(path), str(path))


def decode_image(content: bytes, name: str = "the picture") -> npt.NDArray[np.uint8]:
    """As `read_image`, from bytes. `name` is how messages call the source."""
    from PIL import ImageOps

    picture = _open(content, name)
    return np.asarray(_to_rgb(ImageOps.exif_transpose(picture), name), np.uint8).copy()


def read_labels(path: Path | str) -> npt.NDArray[np.uint16]:
    """A label picture (grey or palette, 8 or 16 bits) as HW uint16, values untouched.

    Raises InputError for a colour picture, which holds colours and not class ids.
    """
    content = read_bytes(path)
    picture = _open(content, str(path))
    if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
        raise InputError(
            f"{path} is a {picture.mode} picture; a label map has one channel of class ids",
            "Convert the colours to ids first, for example with a vocabulary's colours.",
        )
    labels_HW = np.asarray(picture).astype(np.int64)
    if labels_HW.min(initial=0) < 0 or labels_HW.max(initial=0) > 65535:
        raise InputError(f"{path} has label values outside 0..65535")
    return labels_HW.astype(np.uint16)


def picture_size(path: Path | str) -> tuple[int, int]:
    """Width, height of a picture file in pixels, from its beginning: nothing is decoded.

    Raises StorageError (missing) or InputError (no picture).
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.width, picture.height
    except UnidentifiedImageError as fault:
        raise InputError(f"{path} is not a picture", "PNG, JPEG, WebP, TIFF and BMP are read.") from fault
    except OSError as fault:
        raise cannot("read", Path(path), fault) from fault


def mask_from_png(content: bytes) -> npt.NDArray[np.bool_]:
    """The foreground of a mask picture as HW bool: alpha if it has transparency, else brightness > 127."""
    picture = _open(content, "the mask")
    if picture.has_transparency_data:
        return np.asarray(picture.convert("RGBA"))[..., 3] > 127
    if picture.mode == "1":
        return np.asarray(picture, bool)
    return np.asarray(_to_rgb(picture, "the mask").convert("L")) > 127


def _open(content: bytes, name: str) -> Image:
    """A fully decoded picture; every way in which that fails becomes one of our errors."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        raise InputError(f"{name} is empty; a picture was expected")
    try:
        picture = Image.open(BytesIO(content))
        if picture.width * picture.height > MAX_PIXELS:
            raise InputError(
                f"{name} has {picture.width} x {picture.height} pixels; at most {MAX_PIXELS:,} are read"
            )
        picture.load()
        return picture
    except UnidentifiedImageError as fault:
        if content.startswith(SIGNATURE):
            raise StorageError(f"{name} is a damaged PNG", "Copy or download it again.") from fault
        raise InputError(f"{name} is not a picture", "PNG, JPEG, WebP, TIFF and BMP are read.") from fault
    except Image.DecompressionBombError as fault:
        raise InputError(f"{name} is too large a picture: {fault}") from fault
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as fault:
        if isinstance(fault, InputError):
            raise
        raise StorageError(f"{name} is cut off or damaged: {fault}", "Copy or download it again.") from fault


def _to_rgb(picture: Image, name: str) -> Image:
    """Any Pillow mode to RGB, 8 bits."""
    from PIL import Image

    if picture.mode.startswith("I"):
        levels_HW = np.clip(np.asarray(picture).astype(np.int64), 0, 65535)
        return Image.fromarray(((levels_HW * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise InputError(f"{name} has floating-point pixels", "Save it with 8 or 16 bits a channel.")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return picture.convert("RGB")


def check_image(image_HW3: npt.NDArray[np.uint8]) -> None:
    """Raises InputError unless the array is HW3 uint8 with at least one pixel."""
    if image_HW3.dtype != np.uint8 or image_HW3.ndim != 3 or image_HW3.shape[2] != 3 or image_HW3.size == 0:
        raise InputError(
            f"a picture of shape {image_HW3.shape} and type {image_HW3.dtype} was given; "
            "expected (height, width, 3) of uint8"
        )


# --- the document inside a PNG -----------------------------------------------------------------------------


def png_bytes(image_HW3: npt.NDArray[np.uint8], document: Any = None) -> bytes:
    """A PNG of HW3 uint8 pixels with a JSON `document` inside (none when None).

    The same picture and document give the same bytes: neither clock nor path is written.
    """
    from PIL import Image

    check_image(image_HW3)
    buffer = BytesIO()
    Image.fromarray(image_HW3).save(buffer, "PNG", compress_level=6)
    plain = buffer.getvalue()
    if document is None:
        return plain
    after_header = len(SIGNATURE) + 25
    return plain[:after_header] + _pack(document) + plain[after_header:]


def _pack(document: Any) -> bytes:
    text = to_json_bytes(document)
    payload = MAGIC + zlib.compress(text, 9)
    if len(text) > MAX_UNPACKED or len(payload) > MAX_PACKED:
        raise InputError(
            f"the scene takes {len(text):,} bytes of JSON; at most {MAX_UNPACKED:,} fit into a picture"
        )
    crc = zlib.crc32(CHUNK + payload)
    return struct.pack(">I", len(payload)) + CHUNK + payload + struct.pack(">I", crc)


def mask_png_bytes(mask_HW: npt.NDArray[np.bool_]) -> bytes:
    """A mask as a grey PNG, 255 inside and 0 outside; `Mask.from_png` reads it."""
    return grey_png_bytes(mask_HW.astype(np.uint8) * np.uint8(255))


def grey_png_bytes(values_HW: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """Values of 8 or 16 bits as a grey PNG; `read_labels` reads it."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(values_HW).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def cutout_png_bytes(image_HW3: npt.NDArray[np.uint8], mask_HW: npt.NDArray[np.bool_]) -> bytes:
    """The picture where the mask is, transparent elsewhere; of the picture's size, so that it lies on it.

    Raises InputError when the two are of different sizes.
    """
    from PIL import Image

    check_image(image_HW3)
    if mask_HW.shape != image_HW3.shape[:2]:
        raise InputError(
            f"a mask of shape {mask_HW.shape} was given for a picture of shape {image_HW3.shape[:2]}"
        )
    alpha_HW1 = mask_HW[..., None].astype(np.uint8)
    buffer = BytesIO()
    pixels_HW4 = np.concatenate([image_HW3 * alpha_HW1, alpha_HW1 * 255], axis=2, dtype=np.uint8)
    Image.fromarray(pixels_HW4).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def gif_bytes(images: Sequence[npt.NDArray[np.uint8]], frame_ms: int = 900) -> bytes:
    """Pictures of one size as an animation (GIF) that starts again; the last one stays twice as long.

    Raises InputError for no pictures, or pictures of different sizes.
    """
    from PIL import Image as pillow

    shapes = {image_HW3.shape for image_HW3 in images}
    if len(shapes) != 1:
        raise InputError(f"an animation of pictures of {len(shapes)} sizes was asked for; expected one")
    frames = [pillow.fromarray(image_HW3) for image_HW3 in images]
    for image_HW3 in images:
        check_image(image_HW3)
    durations = [frame_ms] * (len(frames) - 1) + [2 * frame_ms]
    buffer = BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, disposal=1
    )
    return buffer.getvalue()


def write_png(path: Path | str, image_HW3: npt.NDArray[np.uint8], document: Any = None) -> Path:
    """Write `png_bytes` atomically. Raises StorageError or InputError."""
    return atomic_write(path, png_bytes(image_HW3, document))


def read_png_document(path: Path | str) -> Any:
    """The JSON document inside a PNG file, or None if it has none."""
    return png_document(read_bytes(path), str(path))


def read_png_scene(path: Path | str) -> Scene:
    """The scene inside a PNG that a Record was saved to.

    Raises StorageError (missing, cut off), InputError (no PNG, no scene in it) or SceneError.
    """
    from scenewright.scene.schema import Scene

    document = read_png_document(path)
    if not isinstance(document, dict) or "scene" not in document:
        raise InputError(
            f"{path} holds no scene",
            "Only pictures saved by Scenewright and not re-saved by another program do.",
        )
    return Scene.from_json(document["scene"])


def png_document(content: bytes, name: str = "the picture") -> Any:
    """The JSON document inside a PNG, or None if it has none.

    Raises StorageError (cut off, damaged) and InputError (no PNG, a document of a later version, or one that
    unpacks to more than `MAX_UNPACKED` bytes: never more than that is unpacked).
    """
    if not content.startswith(SIGNATURE):
        raise InputError(f"{name} is not a PNG", "Scenes are kept in PNG pictures only.")
    payload = None
    for kind, data, crc in _chunks(content, name):
        if kind == CHUNK and data.startswith(MAGIC[:-1]) and len(data) >= len(MAGIC):
            if zlib.crc32(kind + data) != crc:
                raise StorageError(f"the scene inside {name} is damaged", "Copy or download it again.")
            payload = data
    if payload is None:
        return None
    if payload[len(MAGIC) - 1] != MAGIC[-1]:
        raise InputError(
            f"the scene inside {name} has format {payload[len(MAGIC) - 1]}; this version reads {MAGIC[-1]}",
            "Update Scenewright.",
        )
    return parse_json(_unpack(payload[len(MAGIC) :], name), f"the scene inside {name}")


def _unpack(packed: bytes, name: str) -> bytes:
    if len(packed) > MAX_PACKED:
        raise InputError(
            f"the scene inside {name} has {len(packed):,} bytes; at most {MAX_PACKED:,} are read"
        )
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(packed, MAX_UNPACKED)
    except zlib.error as fault:
        raise StorageError(f"the scene inside {name} is damaged: {fault}") from fault
    if not stream.eof:
        if stream.unconsumed_tail:
            raise InputError(
                f"the scene inside {name} unpacks to more than {MAX_UNPACKED:,} bytes",
                "No scene is that large: the picture was tampered with.",
            )
        raise StorageError(f"the scene inside {name} is cut off", "Copy or download it again.")
    return text


def _chunks(content: bytes, name: str) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, data and checksum of every chunk. Raises StorageError when the file ends before IEND."""
    at = len(SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if at + 12 > len(content):
            raise StorageError(
                f"{name} is cut off after {len(content):,} bytes", "Copy or download it again."
            )
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 8 + length
        if end + 4 > len(content):
            raise StorageError(
                f"{name} is cut off after {len(content):,} bytes", "Copy or download it again."
            )
        yield kind, content[at + 8 : end], struct.unpack_from(">I", content, end)[0]
        at = end + 4
