"""COCO annotation files: instances, stuff, keypoints and captions, to scenes or records and back.

Nothing is lost on the way: polygons, several parts, holes and crowd regions become masks with exactly the
pixels that the COCO mask API gives them, and what a scene has no field for travels in `extra["coco"]`: of
the scene, the entry of `images`; of an instance, ids, area, `iscrowd`, supercategory, unknown keys, and box
and segmentation as they were written. Those are written back only while they still describe the instance's
box and mask; otherwise box, area and run lengths are made anew. Source: Lin et al., Microsoft COCO, ECCV
2014, and cocodataset.org/#format-data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.coco_head import NAMESPACE, Head
from scenewright.data.coco_write import captions_to_json, from_records, to_json, write
from scenewright.data.foreign import XYWH_PX, SizeWH
from scenewright.errors import InputError
from scenewright.scene import Box, ImageRef, Instance, Keypoints, Record, Scene, Vocabulary
from scenewright.scene.files import read_json
from scenewright.scene.io import read_image

__all__ = [
    "Head",
    "captions_from_json",
    "captions_to_json",
    "from_json",
    "from_records",
    "natural_name",
    "read",
    "read_captions",
    "read_head",
    "read_records",
    "to_json",
    "write",
]

_DERIVED = ("image_id", "category_id", "keypoints", "num_keypoints")


def read(path: Path, captions: Path | None = None) -> list[Scene]:
    """One scene for each picture of an instances, stuff or keypoints file, in the order of the file.

    captions   a captions file of the same pictures: the first caption becomes the prompt, and all are kept.
               Without it the prompt lists the categories.

    `Scene.picture` names the photograph as the file does. Raises StorageError, InputError; warns
    `ClippedBoxes`.
    """
    said = None if captions is None else read_json(captions)
    return from_json(read_json(path), str(path), said, str(captions))


def read_head(path: Path) -> Head:
    """The rest of the file, for writing it back."""
    document = foreign.object_of(read_json(path), str(path))
    return Head({key: value for key, value in document.items() if key not in ("images", "annotations")})


def read_records(path: Path, images: Path, captions: Path | None = None) -> Iterator[Record]:
    """One record for each picture, read from the folder `images`; `Record.masks` holds all masks.

    Raises as `read`, and StorageError or InputError for a missing picture or one of another size.
    """
    for scene in read(path, captions):
        file = images / str(scene.picture.path if scene.picture else "")
        image_HW3 = read_image(file)
        if image_HW3.shape[:2] != scene.size_hw:
            height, width = image_HW3.shape[:2]
            raise InputError(
                f"{file} has {width} x {height} pixels; {path} says {scene.size_wh[0]} x {scene.size_wh[1]}"
            )
        masks = {item.id: item.mask for item in scene.instances if item.mask is not None}
        yield Record(image_HW3, scene, masks=masks)


def from_json(
    document: Any, name: str, captions: Any = None, captions_name: str = "the captions"
) -> list[Scene]:
    """Scenes from parsed files; the names are how messages call them."""
    document = foreign.object_of(document, name)
    images = _images(document, name)
    classes = _categories(document, name)
    said = {} if captions is None else _captions(foreign.object_of(captions, captions_name), captions_name)
    rows = foreign.rows_of(foreign.need(document, "annotations", name), f"{name}: annotations")
    groups: dict[Any, list[Instance]] = {key: [] for key in images}
    for (row, size_wh, where), box in zip(*_placed(rows, images, name), strict=True):
        groups[row["image_id"]].append(_instance(row, box, size_wh, classes, where))
    return [_scene(image, groups[key], said.get(key, []), name) for key, image in images.items()]


def read_captions(path: Path) -> list[Scene]:
    """One scene without instances for each picture of a captions file; the first caption is the prompt."""
    return captions_from_json(read_json(path), str(path))


def captions_from_json(document: Any, name: str) -> list[Scene]:
    """As `read_captions`, from a parsed file."""
    document = foreign.object_of(document, name)
    said, images = _captions(document, name), _images(document, name)
    if lost := [key for key in said if key not in images]:
        raise InputError(
            f"{name}: there is no picture with the id {lost[0]!r} in `images`, but a caption of it"
        )
    return [_scene(image, [], said.get(key, []), name) for key, image in images.items()]


def _images(document: dict[str, Any], name: str) -> dict[Any, dict[str, Any]]:
    rows = foreign.rows_of(foreign.need(document, "images", name), f"{name}: images")
    found: dict[Any, dict[str, Any]] = {}
    for k, row in enumerate(rows):
        key = _key(foreign.need(row, "id", f"{name}: images[{k}]"), f"{name}: images[{k}].id")
        if key in found:
            raise InputError(f"{name}: images[{k}]: the id {key!r} occurs twice")
        foreign.size_of(row, f"{name}: images[{k}]")
        found[key] = row
    return found


def _key(value: Any, where: str) -> int | str:
    """An id of COCO files: a whole number, or a text in files of some tools."""
    return value if isinstance(value, str) else foreign.whole(value, where)


def _categories(document: dict[str, Any], name: str) -> dict[Any, dict[str, Any]]:
    rows = foreign.rows_of(foreign.need(document, "categories", name), f"{name}: categories")
    found = {}
    for k, row in enumerate(rows):
        where = f"{name}: categories[{k}]"
        foreign.text(foreign.need(row, "name", where), f"{where}.name")
        found[_key(foreign.need(row, "id", where), f"{where}.id")] = row
    return found


def _captions(document: dict[str, Any], name: str) -> dict[Any, list[dict[str, Any]]]:
    """The caption rows of each picture, in order."""
    found: dict[Any, list[dict[str, Any]]] = {}
    rows = foreign.rows_of(foreign.need(document, "annotations", name), f"{name}: annotations")
    for k, row in enumerate(rows):
        where = f"{name}: annotations[{k}]"
        foreign.text(foreign.need(row, "caption", where), f"{where}.caption")
        key = _key(foreign.need(row, "image_id", where), f"{where}.image_id")
        found.setdefault(key, []).append(row)
    return found


_Placed = tuple[list[tuple[dict[str, Any], SizeWH, str]], list[Box | None]]


def _placed(rows: Sequence[dict[str, Any]], images: Mapping[Any, dict[str, Any]], name: str) -> _Placed:
    """Each annotation with the size of its picture and its name for messages; and all boxes."""
    found, boxes = [], []
    for k, row in enumerate(rows):
        where = f"{name}: annotations[{k}]"
        key = foreign.need(row, "image_id", where)
        if not isinstance(key, (int, str)) or key not in images:
            raise InputError(f"{where}: there is no picture with the id {key!r} in `images`")
        found.append((row, foreign.size_of(images[key], where), where))
        boxes.append(_row_box(row.get("bbox"), f"{where}.bbox"))
    return found, foreign.place_boxes(boxes, [size_wh for _, size_wh, _ in found], XYWH_PX, name)


def _row_box(value: Any, where: str) -> foreign.Four | None:
    """Four numbers; None for an absent box and for all zeros, which is how "no box" is written."""
    row = foreign.four(value, where) if value else None
    return row if row and any(row) else None


def _instance(
    row: dict[str, Any], box: Box | None, size_wh: SizeWH, classes: Mapping[Any, dict[str, Any]], where: str
) -> Instance:
    key = foreign.need(row, "category_id", where)
    if not isinstance(key, (int, str)) or key not in classes:
        raise InputError(
            f"{where}: there is no category with the id {key!r} in `categories`",
            "Every id used has its entry there.",
        )
    category = classes[key]
    kept = {name: value for name, value in row.items() if name not in _DERIVED}
    if isinstance(kept.get("segmentation"), dict) and isinstance(kept["segmentation"].get("counts"), str):
        del kept["segmentation"]  # compressed run lengths are what the mask itself holds
    with foreign.named(where):
        mask = foreign.mask_of(row.get("segmentation"), size_wh, "segmentation")
        if mask is not None and "area" in kept:
            kept["area_px"] = mask.area_px
        return Instance(
            phrase=natural_name(category["name"]),
            id=f"a{row['id']}" if isinstance(row.get("id"), int) and row["id"] >= 0 else "",
            box=box,
            mask=mask,
            keypoints=_keypoints(row.get("keypoints"), size_wh),
            category=category["name"],
            extra={NAMESPACE: {**kept, "category": dict(category)}},
        )


def _keypoints(value: Any, size_wh: SizeWH) -> Keypoints | None:
    """17 triples x, y, v in pixels, flat; None when no joint is labelled or the skeleton is another one."""
    if not isinstance(value, list) or len(value) != 51 or not any(value[2::3]):
        return None
    joints = []
    for k in range(0, 51, 3):
        x, y = (foreign.number(side, f"keypoints[{k}]") for side in value[k : k + 2])
        place = foreign.point_of(x, y, size_wh)
        joints.append((place.x, place.y, foreign.whole(value[k + 2], f"keypoints[{k + 2}]")))
    return Keypoints(tuple(joints))


def _scene(
    image: dict[str, Any], instances: Sequence[Instance], said: Sequence[dict[str, Any]], name: str
) -> Scene:
    extra = {key: value for key, value in image.items() if key not in ("file_name", "width", "height")}
    if said:
        extra["captions"] = [{key: value for key, value in row.items() if key != "image_id"} for row in said]
    file_name = image.get("file_name") or f"{image['id']}.jpg"
    with foreign.named(f"{name}: picture {image['id']}"):
        return Scene(
            prompt=said[0]["caption"].strip() if said else _described(instances),
            size_wh=foreign.size_of(image, "size"),
            instances=tuple(instances),
            picture=ImageRef(path=foreign.text(file_name, "file_name")),
            extra={NAMESPACE: extra},
        )


def _described(instances: Sequence[Instance]) -> str:
    """A prompt from what is there: "a photograph of a person, a frisbee and grass"; empty for nothing."""
    stuff = {entry.name for entry in Vocabulary.load("coco-stuff") if not entry.thing}
    named: dict[str, None] = {}
    for instance in instances:
        article = "an " if instance.phrase[0].lower() in "aeiou" else "a "
        if instance.phrase != "other":
            named[instance.phrase if instance.category in stuff else article + instance.phrase] = None
    words = list(named)
    if not words:
        return ""
    return "a photograph of " + (f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0])


def natural_name(name: str) -> str:
    """A category as one would say it: "wall-brick" is "brick wall", "sky-other" "sky", "playingfield"
    spaced."""
    stuff = Vocabulary.load("coco-stuff")
    if name in stuff.names:
        synonyms = stuff.find(name).synonyms
        spaced = "-" in name or (synonyms and synonyms[0].replace(" ", "") == name and " " in synonyms[0])
        return synonyms[0] if synonyms and spaced else name
    return name
