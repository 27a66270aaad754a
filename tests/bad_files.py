"""Files that cannot be used, and folders that cannot be written: one function each.

Every function gets the folder to write into and the name of a tiny model, FOLDER+gligen:FILE.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scenewright.scene import Box, Instance, Mask, Record, Scene
from scenewright.scene.io import MAX_UNPACKED

Make = Callable[[Path, str], None]

CAR = {"id": "car", "phrase": "a red car", "box": [0.1, 0.1, 0.6, 0.6]}
GOOD = {"schema_version": 1, "prompt": "a red car", "size_wh": [64, 64], "instances": [CAR]}


def scene(**changes: Any) -> Make:
    """Writes bad.json: a good scene with fields changed."""
    return text(json.dumps({**GOOD, **changes}))


def car(**changes: Any) -> Make:
    """Writes bad.json: a scene whose car has fields changed."""
    return scene(instances=[{**CAR, **changes}])


def text(content: str | bytes, name: str = "bad.json") -> Make:
    """Writes a file."""

    def make(folder: Path, _: str) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def good_scene(folder: Path, _: str) -> None:
    (folder / "good.json").write_text(json.dumps(GOOD))


def record(folder: Path) -> bytes:
    image_HW3 = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    return Record(image_HW3, Scene.from_json(GOOD)).save(folder, "whole").read_bytes()


def cut_png(folder: Path, _: str) -> None:
    content = record(folder)
    (folder / "cut.png").write_bytes(content[: len(content) // 2])


def plain_png(folder: Path, _: str) -> None:
    from PIL import Image

    Image.new("RGB", (16, 16)).save(folder / "plain.png")
    Image.new("RGB", (16, 16)).save(folder / "plain.jpg")


def huge_chunk_png(folder: Path, _: str) -> None:
    """A picture whose private chunk unpacks to more than is read."""
    packer = zlib.compressobj(1)
    packed = (
        b"".join(packer.compress(bytes(2**24)) for _ in range(MAX_UNPACKED // 2**24 + 1)) + packer.flush()
    )
    payload = b"scenewright\0\x01" + packed
    chunk = (
        struct.pack(">I", len(payload)) + b"scNe" + payload + struct.pack(">I", zlib.crc32(b"scNe" + payload))
    )
    content = record(folder)
    end = content.index(b"scNe") - 4
    (folder / "huge.png").write_bytes(content[:end] + chunk + content[-12:])


def long_chunk_png(folder: Path, _: str) -> None:
    """A picture whose chunk claims to be longer than the file."""
    content = record(folder)
    place = content.index(b"scNe") - 4
    (folder / "long.png").write_bytes(content[:place] + b"\x7f\xff\xff\xff" + content[place + 4 :])


def crowd(folder: Path, _: str) -> None:
    """Seven instances for a model with six slots."""
    items = tuple(Instance("a cat", box=Box(k / 8, 0.1, (k + 1) / 8, 0.5)) for k in range(7))
    Scene("cats", (64, 64), items).write(folder / "crowd.json")


def big_crowd(folder: Path, _: str) -> None:
    """Two hundred instances."""
    items = tuple(Instance("a cat", box=Box(k / 400, 0.1, (k + 1) / 400, 0.5)) for k in range(200))
    Scene("cats", (64, 64), items).write(folder / "crowd.json")


def _instances_file(folder: Path, **changes: object) -> None:
    """A file of InstanceDiffusion's form with one instance."""
    anno = {"bbox": [40, 40, 20, 20], "caption": "a cat", "category_name": "cat", "mask": [], **changes}
    document = {"caption": "a cat", "width": 64, "height": 64, "annos": [anno]}
    (folder / "bad.json").write_text(json.dumps(document))


def one_point(folder: Path, _: str) -> None:
    _instances_file(folder, scribble=[10, 12])


def no_captions(folder: Path, _: str) -> None:
    _instances_file(folder, caption="", category_name="")


def unwise(folder: Path) -> None:
    """Two things in one box, and a mask outside of its own."""
    bits = np.zeros((64, 64), dtype=bool)
    bits[40:60, 40:60] = True
    box = Box(0.1, 0.1, 0.5, 0.5)
    items = (Instance("a cat", box=box), Instance("a dog", box=box, mask=Mask.from_array(bits)))
    Scene("a cat and a dog", (64, 64), items).write(folder / "unwise.json")


def other_mask(folder: Path, _: str) -> None:
    mask = Mask.from_array(np.ones((32, 32), dtype=bool))
    wrong = {**CAR, "mask": {"size_hw": [32, 32], "counts": mask.counts}}
    (folder / "bad.json").write_text(json.dumps({**GOOD, "instances": [wrong]}))


def locked(folder: Path, _: str) -> None:
    good_scene(folder, _)
    (folder / "locked").mkdir()
    (folder / "locked").chmod(0o500)


def occupied(folder: Path, _: str) -> None:
    good_scene(folder, _)
    (folder / "taken").write_text("a file")


def other_adapter(folder: Path, model: str) -> None:
    from scenewright.condition.gligen import Gligen
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    gligen = Gligen.for_unet(tiny_backbone(0).unet)
    save_adapter(folder / "other.safetensors", gligen, gligen.config, "gligen", "0123456789abcdef")
    good_scene(folder, model)


def other_head(folder: Path, model: str) -> None:
    _head(folder, model, "head", wider=1, fingerprint="0123456789abcdef")


def other_taps(folder: Path, model: str) -> None:
    from scenewright.testing import tiny_backbone

    _head(folder, model, "taps", wider=2, fingerprint=tiny_backbone(0).fingerprint)


def _head(folder: Path, model: str, name: str, wider: int, fingerprint: str) -> None:
    """A grounding head that reads so many times the channels that the tiny model has."""
    from scenewright.ground.head import GroundingHead
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    sizes = {"reduced": (4, 4, 4, 4), "width": 16, "heads": 2, "layers": 1, "hidden": 16}
    config = GroundingHead.for_unet(tiny_backbone(0).unet, stride=4, **sizes).config
    head = GroundingHead(replace(config, channels=tuple(wider * count for count in config.channels)))
    save_adapter(folder / f"{name}.safetensors", head, head.config, "grounding", fingerprint)
    good_scene(folder, model)


def broken_adapter(folder: Path, model: str) -> None:
    content = Path(model.partition("+gligen:")[2]).read_bytes()
    (folder / "broken.safetensors").write_bytes(content[: len(content) // 3])
    good_scene(folder, model)


def partial_model(folder: Path, model: str) -> None:
    import shutil

    shutil.copytree(model.partition("+")[0], folder / "partial")
    next((folder / "partial" / "unet").glob("*.safetensors")).unlink()
    good_scene(folder, model)


def other_settings(folder: Path, model: str) -> None:
    good_scene(folder, model)
    Record(np.zeros((64, 64, 3), np.uint8), Scene.from_json(GOOD), provenance={"steps": 3}).save(
        folder, "good"
    )
    (folder / "good.overlay.png").write_bytes((folder / "good.png").read_bytes())


def wrong_corners(folder: Path, _: str) -> None:
    """Corners under the keys of x, y, width, height, and a third reading does not help either."""
    rows = [{"caption": "a cat", "bbox": [400, 400, -300, 900], "mask": []} for _ in range(4)]
    content = {"caption": "cats", "width": 512, "height": 512, "annos": rows}
    (folder / "bad.json").write_text(json.dumps(content))


def coco_without_category(folder: Path, _: str) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 9, "bbox": [1, 1, 9, 9], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
    }  # fmt: skip
    (folder / "bad.json").write_text(json.dumps(content))
