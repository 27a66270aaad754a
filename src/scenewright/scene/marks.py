"""Points, scribbles and keypoints, in fractions of the canvas: x from 0 (left) to 1, y from 0 (top) to 1."""

from __future__ import annotations

from dataclasses import dataclass

from scenewright.errors import SceneError, nearest
from scenewright.scene import checks


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the canvas: x, y in [0, 1]. Anything else raises `SceneError`."""

    x: float
    y: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", checks.number(self.x, "x", 0.0, 1.0))
        object.__setattr__(self, "y", checks.number(self.y, "y", 0.0, 1.0))

    @property
    def xy(self) -> tuple[float, float]:
        """x, y in fractions of the canvas."""
        return self.x, self.y


@dataclass(frozen=True, slots=True)
class Scribble:
    """A hand-drawn line through at least two points."""

    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", checks.tuple_of(self.points, Point, "points"))
        if len(self.points) < 2:
            raise SceneError(
                f"expected at least 2 points in a scribble, got {len(self.points)}", path="points"
            )


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Names of the joints in order, pairs that are drawn as bones, and pairs that a mirror swaps."""

    names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    mirrored: tuple[tuple[int, int], ...]


SKELETONS: dict[str, Skeleton] = {
    "coco17": Skeleton(
        names=(
            "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
            "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
            "left_knee", "right_knee", "left_ankle", "right_ankle",
        ),
        bones=(
            (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
            (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
        ),
        mirrored=tuple((k, k + 1) for k in range(1, 17, 2)),
    )
}  # fmt: skip
"""Known skeletons by name; "coco17" is the person of COCO (joints numbered from 0)."""


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Joints of one body: for each joint of the skeleton (x, y, v).

    x, y are in [0, 1]; v is 0 (not labelled; x and y mean nothing), 1 (labelled, hidden) or 2 (visible).
    """

    points: tuple[tuple[float, float, int], ...]
    skeleton: str = "coco17"

    def __post_init__(self) -> None:
        known = SKELETONS.get(checks.text(self.skeleton, "skeleton"))
        if known is None:
            close = nearest(self.skeleton, SKELETONS)
            raise SceneError(
                f"expected one of {', '.join(SKELETONS)}, got {self.skeleton!r}",
                f"did you mean {close!r}?" if close else "",
                "skeleton",
            )
        if not isinstance(self.points, (list, tuple)) or len(self.points) != len(known.names):
            raise SceneError(
                f"expected {len(known.names)} joints for {self.skeleton}, got {checks.shown(self.points)}",
                path="points",
            )
        joints = tuple(_joint(value, f"points[{k}]") for k, value in enumerate(self.points))
        object.__setattr__(self, "points", joints)

    def joint(self, name: str) -> tuple[float, float, int]:
        """x, y, v of the joint called `name`."""
        names = SKELETONS[self.skeleton].names
        if name not in names:
            close = nearest(name, names)
            raise SceneError(f"no joint {name!r}", f"did you mean {close!r}?" if close else "")
        return self.points[names.index(name)]


def _joint(value: object, path: str) -> tuple[float, float, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise SceneError(f"expected x, y, v, got {checks.shown(value)}", path=path)
    return (
        checks.number(value[0], f"{path}[0]", 0.0, 1.0),
        checks.number(value[1], f"{path}[1]", 0.0, 1.0),
        checks.whole(value[2], f"{path}[2]", 0, 2),
    )
