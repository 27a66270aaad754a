"""What a judge found in a picture: the stored detections that every score is computed from.

A judge is run once and its findings are kept beside the picture as ``NAME.findings.json``; scores are then
repeated without any network, and results of other people's judges are scored the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from scenewright.errors import InputError, SceneError, nearest
from scenewright.scene import Box, Mask, checks
from scenewright.scene.files import atomic_write, read_json, to_json_bytes
from scenewright.scene.masks import LARGEST_PX

FINDINGS_VERSION = 1
"""The version of the findings files that this package writes."""

FINDINGS_SUFFIX = ".findings.json"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a judge saw.

    `category` its class; `score` how sure the judge is, 0..1; `box` its place; `mask` its pixels, of the
    picture's size, where the judge gives them; `attributes` what it looks like by name ("colour": "red");
    `instance` the id of the instance that the judge was asked about, "" for a free detection.
    Raises `SceneError` naming the field.
    """

    category: str
    score: float
    box: Box
    mask: Mask | None = None
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    instance: str = ""

    def __post_init__(self) -> None:
        checks.text(self.category, "category")
        object.__setattr__(self, "score", checks.number(self.score, "score", 0.0, 1.0))
        checks.made_of(self.box, Box, "box")
        if self.mask is not None:
            checks.made_of(self.mask, Mask, "mask")
        if not isinstance(self.attributes, Mapping):
            raise SceneError(
                f"expected an object of texts, got {checks.shown(self.attributes)}", path="attributes"
            )
        for name, value in self.attributes.items():
            checks.text(name, "attributes")
            checks.text(value, f"attributes.{name}")
        object.__setattr__(self, "attributes", dict(self.attributes))
        checks.text(self.instance, "instance", blank=True)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one judge found in one picture.

    `picture` the picture's name without ending; `judge` name and fingerprint, "detector@1f0c9a52";
    `size_wh` width, height of the picture in pixels, which every mask has too; `found` the findings;
    `extra` other measured values of the picture, plain JSON. Raises `SceneError` naming the field.
    """

    picture: str
    judge: str
    size_wh: tuple[int, int]
    found: tuple[Finding, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        checks.text(self.picture, "picture")
        checks.text(self.judge, "judge")
        object.__setattr__(self, "size_wh", checks.pair(self.size_wh, "size_wh", 1, LARGEST_PX))
        object.__setattr__(self, "found", checks.tuple_of(self.found, Finding, "found"))
        for k, one in enumerate(self.found):
            if one.mask is not None and one.mask.size_hw != self.size_wh[::-1]:
                raise SceneError(
                    f"expected size_hw {list(self.size_wh[::-1])} as the picture's, "
                    f"got {list(one.mask.size_hw)}",
                    "size_hw is height, width",
                    f"found[{k}].mask",
                )
        object.__setattr__(self, "extra", checks.plain(dict(self.extra), "extra"))

    def confident(self, least: float) -> Findings:
        """The findings with a score of at least `least` (0..1), in the same order."""
        return replace(self, found=tuple(one for one in self.found if one.score >= least))

    def to_json(self) -> dict[str, Any]:
        """As a JSON document; fields that hold their default are left out."""
        return {
            "findings_version": FINDINGS_VERSION,
            "picture": self.picture,
            "judge": self.judge,
            "size_wh": list(self.size_wh),
            "found": [_finding_json(one) for one in self.found],
            **({"extra": dict(self.extra)} if self.extra else {}),
        }

    @classmethod
    def from_json(cls, document: Any) -> Findings:
        """From a parsed document. Raises `SceneError` naming the field (`found[2].box`)."""
        fields = _keys(document, "", ("picture", "judge", "size_wh", "found"), ("findings_version", "extra"))
        version = fields.pop("findings_version", FINDINGS_VERSION)
        if version != FINDINGS_VERSION:
            raise SceneError(
                f"expected {FINDINGS_VERSION}, got {checks.shown(version)}",
                "update the package, or run the judge again",
                "findings_version",
            )
        if not isinstance(fields["found"], list):
            raise SceneError(f"expected a list, got {checks.shown(fields['found'])}", path="found")
        if not isinstance(fields.get("extra", {}), dict):
            raise SceneError(f"expected an object, got {checks.shown(fields['extra'])}", path="extra")
        found = tuple(_finding(value, f"found[{k}]") for k, value in enumerate(fields["found"]))
        return cls(**{**fields, "found": found})

    def write(self, folder: Path | str) -> Path:
        """Write ``PICTURE.findings.json`` into `folder`, whole or not at all; returns its path.

        Raises InputError when the picture's name is no file name, StorageError when it cannot be written.
        """
        if Path(self.picture).name != self.picture or self.picture in (".", ".."):
            raise InputError(
                f"{self.picture!r} is no file name", "picture is the picture's name without folder and ending"
            )
        return atomic_write(Path(folder) / f"{self.picture}{FINDINGS_SUFFIX}", to_json_bytes(self.to_json()))

    @classmethod
    def read(cls, path: Path | str) -> Findings:
        """From a file. Raises StorageError (missing), SceneError (not findings, with the field)."""
        try:
            return cls.from_json(read_json(path))
        except SceneError as fault:
            named = SceneError(f"{path}: {fault.message}", fault.hint)
            named.path = fault.path
            raise named from fault


def _finding_json(one: Finding) -> dict[str, Any]:
    mask = {"mask": {"size_hw": list(one.mask.size_hw), "counts": one.mask.counts}} if one.mask else {}
    return {
        "category": one.category,
        "score": one.score,
        "box": list(one.box.xyxy),
        **mask,
        **({"attributes": dict(one.attributes)} if one.attributes else {}),
        **({"instance": one.instance} if one.instance else {}),
    }


def _finding(value: Any, path: str) -> Finding:
    fields = _keys(value, path, ("category", "score", "box"), ("mask", "attributes", "instance"))
    try:
        fields["box"] = _box(fields["box"])
        if "mask" in fields:
            mask = _keys(fields["mask"], "mask", ("size_hw", "counts"), ())
            fields["mask"] = _at("mask", lambda: Mask(**mask))
        return Finding(**fields)
    except SceneError as fault:
        raise checks.under(path, fault) from None


def _box(value: Any) -> Box:
    if not isinstance(value, list) or len(value) != 4:
        raise SceneError(f"expected x0, y0, x1, y1, got {checks.shown(value)}", path="box")
    return _at("box", lambda: Box(*value))


def _at(path: str, build: Callable[[], T]) -> T:
    try:
        return build()
    except SceneError as fault:
        raise checks.under(path, fault) from None


def _keys(value: Any, path: str, needed: tuple[str, ...], free: tuple[str, ...]) -> dict[str, Any]:
    """A copy of an object that has all `needed` keys and no others than those and `free`."""
    if not isinstance(value, dict):
        raise SceneError(f"expected an object, got {checks.shown(value)}", path=path)
    known = (*needed, *free)
    for key in value:
        if key not in known:
            close = nearest(str(key), known)
            hint = f"did you mean {close!r}?" if close else f"known keys are {', '.join(known)}"
            raise SceneError("unknown key", hint, checks.joined(path, key))
    if missing := [key for key in needed if key not in value]:
        raise SceneError("missing", f"every one needs {', '.join(needed)}", checks.joined(path, missing[0]))
    return dict(value)
