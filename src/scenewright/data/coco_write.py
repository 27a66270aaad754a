"""The writing half of `scenewright.data.coco`, whose docstring says what is kept and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenewright.data import foreign
from scenewright.data.coco_head import NAMESPACE, Head
from scenewright.data.foreign import SizeWH
from scenewright.errors import InputError, SceneError
from scenewright.scene import Box, Instance, Keypoints, Mask, Record, Scene, Vocabulary
from scenewright.scene.files import atomic_write, to_json_bytes

_KEPT = ("id", "area", "iscrowd", "bbox", "segmentation")
_BOX_SLACK_PX = 1e-6


def to_json(scenes: Sequence[Scene], head: Head | None = None) -> dict[str, Any]:
    """The object of an instances file.

    `head` is what `read_head` returned; without it, categories are those of the instances, with their own
    ids where they have some, then those of COCO's list, then new ones. Instances are written with their box
    (else the box of mask or marks), mask as run lengths, area in pixels, and the ids they came with where
    those are unique.
    """
    ids = _category_ids(scenes, head)
    found: dict[str, Any] = dict(head.fields) if head else {}
    if head is None:
        found["categories"] = _category_list(scenes, ids)
    image_ids = _unique_ids([_extra(scene).get("id") for scene in scenes])
    found["images"] = [_image_json(scene, id) for scene, id in zip(scenes, image_ids, strict=True)]
    pairs = [
        (item, scene, id) for scene, id in zip(scenes, image_ids, strict=True) for item in scene.instances
    ]
    numbers = _unique_ids([_extra(item).get("id") for item, _, _ in pairs])
    found["annotations"] = [
        _annotation(item, scene.size_wh, number, image_id, ids[_category(item)])
        for (item, scene, image_id), number in zip(pairs, numbers, strict=True)
    ]
    return found


def from_records(records: Iterable[Record], head: Head | None = None) -> dict[str, Any]:
    """As `to_json`, with the masks that the records hold (`Record.masks`) in place of the asked ones."""
    return to_json([_found_scene(record) for record in records], head)


def captions_to_json(scenes: Sequence[Scene]) -> dict[str, Any]:
    """The object of a captions file: all captions a scene came with, else its prompt."""
    image_ids = _unique_ids([_extra(scene).get("id") for scene in scenes])
    rows: list[dict[str, Any]] = []
    for scene, image_id in zip(scenes, image_ids, strict=True):
        said = _extra(scene).get("captions") or [{"caption": scene.prompt}]
        rows += [{**row, "image_id": image_id} for row in said]
    numbers = _unique_ids([row.get("id") for row in rows])
    return {
        "images": [_image_json(scene, id) for scene, id in zip(scenes, image_ids, strict=True)],
        "annotations": [{**row, "id": number} for row, number in zip(rows, numbers, strict=True)],
    }


def write(scenes: Sequence[Scene], path: Path, head: Head | None = None) -> Path:
    """Write scenes as an instances file, whole or not at all. Raises StorageError."""
    return atomic_write(path, to_json_bytes(to_json(scenes, head)))


def _extra(item: Scene | Instance) -> dict[str, Any]:
    found = item.extra.get(NAMESPACE, {})
    return found if isinstance(found, dict) else {}


def _category(item: Instance) -> str:
    return item.category or item.phrase


def _category_ids(scenes: Sequence[Scene], head: Head | None) -> dict[str, Any]:
    """Name -> id of every category that occurs."""
    names = list(dict.fromkeys(_category(item) for scene in scenes for item in scene.instances))
    if head is not None:
        ids = {row["name"]: row["id"] for row in head.categories}
        if missing := [name for name in names if name not in ids]:
            raise InputError(f"the categories given have no {missing[0]!r}", "Write without a head.")
        return ids
    ids = _known_ids(scenes)
    coco = Vocabulary.load("coco")
    for name in names:
        if name not in ids and name in coco.names and coco.find(name).id not in ids.values():
            ids[name] = coco.find(name).id
    free = iter(k for k in range(1, len(names) + len(ids) + 200) if k not in set(ids.values()))
    return {name: ids[name] if name in ids else next(free) for name in names}


def _known_ids(scenes: Sequence[Scene]) -> dict[str, Any]:
    """Ids that came with the instances, the first one for each name and id."""
    ids: dict[str, Any] = {}
    for scene in scenes:
        for item in scene.instances:
            row = _extra(item).get("category", {})
            if row.get("name") == _category(item) and row["id"] not in ids.values():
                ids.setdefault(row["name"], row["id"])
    return ids


def _category_list(scenes: Sequence[Scene], ids: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for scene in scenes:
        for item in scene.instances:
            kept = _extra(item).get("category", {})
            own = kept if kept.get("name") == _category(item) else {}
            rows.setdefault(_category(item), {**own, "id": ids[_category(item)], "name": _category(item)})
    return sorted(rows.values(), key=lambda row: (isinstance(row["id"], str), row["id"]))


def _unique_ids(wanted: Sequence[Any]) -> list[Any]:
    """The ids as wanted where they are whole numbers (or texts) and unique; new whole numbers for the
    others."""
    taken: set[Any] = set()
    found: list[Any] = []
    for id in wanted:
        usable = isinstance(id, (int, str)) and not isinstance(id, bool) and id not in taken
        found.append(id if usable else None)
        taken.update([id] if usable else [])
    number = 0
    for k, id in enumerate(found):
        if id is None:
            number += 1
            while number in taken:
                number += 1
            found[k] = number
    return found


def _image_json(scene: Scene, id: Any) -> dict[str, Any]:
    rest = {key: value for key, value in _extra(scene).items() if key != "captions"}
    name = scene.picture.path if scene.picture and scene.picture.path else f"{id}.png"
    return {**rest, "id": id, "file_name": name, "width": scene.size_wh[0], "height": scene.size_wh[1]}


def _annotation(
    item: Instance, size_wh: SizeWH, number: Any, image_id: Any, category_id: Any
) -> dict[str, Any]:
    kept = _extra(item)
    rest = {key: value for key, value in kept.items() if key not in (*_KEPT, "category", "area_px")}
    box = item.location_box
    row = {
        **rest,
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": kept.get("iscrowd", 0),
        "bbox": _bbox(item, kept, size_wh),
    }
    if item.mask is not None:
        row["segmentation"] = _segmentation(item.mask, kept, size_wh)
        same = kept.get("area_px") == item.mask.area_px
        row["area"] = kept["area"] if same and "area" in kept else item.mask.area_px
    else:
        if isinstance(empty := kept.get("segmentation"), list) and not any(empty):
            row["segmentation"] = empty
        row["area"] = kept.get("area", 0.0 if box is None else box.area * size_wh[0] * size_wh[1])
    if item.keypoints is not None:
        row["keypoints"] = _flat(item.keypoints, size_wh)
        row["num_keypoints"] = sum(1 for _, _, seen in item.keypoints.points if seen)
    return row


def _bbox(item: Instance, kept: dict[str, Any], size_wh: SizeWH) -> list[Any]:
    """The box as it was written if it still is the instance's, else anew; zeros for no place."""
    box = item.location_box
    written = kept.get("bbox")
    if isinstance(written, list) and len(written) == 4:
        x, y, width, height = written
        with_box = Box.clip_from_xyxy_px(x, y, x + width, y + height, size_wh)[0]
        if with_box is None and item.box is None:
            return written
        if with_box is not None and item.box is not None and _close(with_box, item.box, size_wh):
            return written
    return [0, 0, 0, 0] if box is None else [foreign.plain_number(side) for side in box.to_xywh_px(size_wh)]


def _close(a: Box, b: Box, size_wh: SizeWH) -> bool:
    pairs = zip(a.to_xyxy_px(size_wh), b.to_xyxy_px(size_wh), strict=True)
    return all(abs(one - two) <= _BOX_SLACK_PX for one, two in pairs)


def _segmentation(mask: Mask, kept: dict[str, Any], size_wh: SizeWH) -> Any:
    """The segmentation as it was written if it still gives this mask, else compressed run lengths."""
    written = kept.get("segmentation")
    if written:
        try:
            if foreign.mask_of(written, size_wh, "segmentation") == mask:
                return written
        except (InputError, SceneError):
            pass  # written for another size of the picture
    return {"size": list(mask.size_hw), "counts": mask.counts}


def _flat(keypoints: Keypoints, size_wh: SizeWH) -> list[float]:
    """x, y, v in pixels, flat; unlabelled joints are zeros, as COCO writes them."""
    flat: list[float] = []
    for x, y, seen in keypoints.points:
        place = (x * size_wh[0], y * size_wh[1]) if seen else (0.0, 0.0)
        flat += [foreign.plain_number(place[0]), foreign.plain_number(place[1]), seen]
    return flat


def _found_scene(record: Record) -> Scene:
    """The record's scene with found masks in place of asked ones, in the picture's size."""
    height, width = record.size_hw
    if not record.masks and record.scene.size_hw == record.size_hw:
        return record.scene
    if record.scene.size_hw != record.size_hw:
        raise InputError(
            f"the record's picture has {width} x {height} pixels, its scene {record.scene.size_wh}",
            "Bring the scene to the picture's size first (Transform.fit).",
        )
    instances = tuple(
        item.replace(mask=record.masks.get(item.id, item.mask)) for item in record.scene.instances
    )
    return record.scene.replace(instances=instances)
