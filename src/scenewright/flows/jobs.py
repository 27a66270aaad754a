"""What is to be drawn: scene files and prompts become a list of named scenes with seeds.

Seeds, in this order: the seed asked for on the command line (plus the number of the picture), the scene's
own, `Scene.auto_seed`; further pictures of the same scene count up from there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scenewright.data.detect import read_scenes
from scenewright.errors import InputError, SceneError, StorageError
from scenewright.scene import Scene, Transform
from scenewright.scene.masks import LARGEST_PX
from scenewright.scene.record import SCENE_SUFFIX
from scenewright.scene.schema import LARGEST_SEED, SIZE_STEP

UNSIZED_WH = (LARGEST_PX, SIZE_STEP)
"""Canvas given to formats that name none, until the model's own size is known; no scene asks for it."""

MOST = 1_000_000
"""Most pictures per scene."""

RESERVED = ("sheet", "failed")
"""Names that the result folder uses itself."""


@dataclass(frozen=True)
class Job:
    """One picture to draw: `name` is its file name without ending, unique in a run."""

    name: str
    scene: Scene
    seed: int


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a user asks for, before a model is loaded; checked when made.

    files    scene files of any format that `read_scenes` knows
    fmt      name of their format; "auto" finds it by the content
    prompts  texts, each a scene without layout
    size_wh  canvas in pixels for everything; None keeps the scenes' own
    seed     seed of the first picture, or None
    count    pictures per scene
    vocabulary  of the files, which are label maps or generation lists then (`flows.maps`); prompts are theirs
    weather  word that is put into the prompts of maps
    crop_px  shorter side of what a generation list cuts out, in pixels of the map
    """

    files: tuple[Path, ...] = ()
    fmt: str = "auto"
    prompts: tuple[str, ...] = ()
    size_wh: tuple[int, int] | None = None
    seed: int | None = None
    count: int = 1
    vocabulary: str = ""
    weather: str = ""
    crop_px: int = 512

    def __post_init__(self) -> None:
        if self.vocabulary and not self.files:
            raise InputError(f"the vocabulary {self.vocabulary!r} was given, and no label map", "add MAP.png")
        if self.weather and not self.vocabulary:
            raise InputError("a weather is put into prompts of label maps", "--vocabulary cityscapes MAP.png")
        if not 1 <= self.crop_px <= LARGEST_PX:
            raise InputError(f"crop_px is {self.crop_px}; expected 1 to {LARGEST_PX} pixels", "512 is usual")
        if not self.files and not self.prompts:
            raise InputError(
                "nothing to draw: neither a scene file nor a prompt was given",
                'scenewright generate SCENE.json, or --prompt "a red car on the grass"',
            )
        if not 1 <= self.count <= MOST:
            raise InputError(
                f"count is {self.count}; expected 1 to {MOST}", "--count 4 draws each scene 4 times"
            )
        if self.seed is not None and not 0 <= self.seed <= LARGEST_SEED - 1_000_000_000:
            raise InputError(
                f"seed is {self.seed}; expected a whole number from 0 to about 9e15",
                "without --seed every scene has one of its own",
            )


@dataclass(frozen=True)
class Named:
    """A scene as it was read, and what its pictures are called."""

    name: str
    scene: Scene


def read(request: Request) -> list[Named]:
    """All scenes of a request, in order, with unique names. Raises as `read_scenes` does."""
    if request.vocabulary:
        from scenewright.flows.maps import read_maps

        return read_maps(request)
    size_wh = request.size_wh or UNSIZED_WH
    found = [one for path in request.files for one in _named(path, _scenes(path, request.fmt, size_wh))]
    for text in request.prompts:
        found.append(Named(slug(text.lower())[:48].strip("-.") or "picture", Scene(text, size_wh)))
    return list(unique(found))


def sized(
    scenes: Sequence[Named], request: Request, native_wh: tuple[int, int]
) -> tuple[list[Named], tuple[str, ...]]:
    """The scenes on the canvas they are drawn on, and notes about what was changed or looks unwise.

    With a size asked for, everything is brought to it. Otherwise scenes of photographs are fitted to the
    model's `native_wh`, scenes of formats without a size get it, and all others keep their own.
    """
    if request.vocabulary:
        from scenewright.flows.maps import fitted_maps

        return fitted_maps(scenes, request, request.size_wh or native_wh), ()
    fitted, cut = 0, 0
    odd: dict[tuple[int, int], int] = {}
    found = []
    for one in scenes:
        scene, to_wh = one.scene, request.size_wh
        if to_wh is None and (scene.picture is not None or scene.size_wh == UNSIZED_WH):
            to_wh = native_wh
        if to_wh is not None and scene.size_wh != to_wh:
            before, named = len(scene.instances), scene.size_wh != UNSIZED_WH
            scene = _fitted(scene, to_wh, one.name)
            fitted, cut = fitted + named, cut + before - len(scene.instances)
        elif scene.picture is not None:
            scene = replace(scene, picture=None)
        if to_wh is None and not _near(scene.size_wh, native_wh):
            odd[scene.size_wh] = odd.get(scene.size_wh, 0) + 1
        found.append(Named(one.name, scene))
    return found, (*_fit_notes(fitted, cut, request.size_wh or native_wh), *_odd_notes(odd, native_wh))


def jobs(scenes: Sequence[Named], request: Request) -> list[Job]:
    """One job per picture: `request.count` of each scene."""
    found = []
    for index, one in enumerate(scenes):
        scene = one.scene
        if request.seed is not None:
            first = request.seed + index * request.count
        else:
            first = scene.auto_seed() if scene.seed is None else scene.seed
        if first + request.count - 1 > LARGEST_SEED:
            raise InputError(
                f"{one.name}: {request.count} pictures from seed {first} on; seeds end at {LARGEST_SEED}",
                "--seed 0 counts from 0",
            )
        for k in range(request.count):
            name = one.name if request.count == 1 else f"{one.name}-{k + 1:0{len(str(request.count))}d}"
            found.append(Job(name, scene, first + k))
    return found


def _scenes(path: Path, fmt: str, size_wh: tuple[int, int]) -> list[Scene]:
    """As `read_scenes`; a text in place of a file leads to --prompt."""
    try:
        return read_scenes(path, fmt, size_wh)
    except StorageError as fault:
        if " " in path.name and not path.suffix and not os.path.exists(path):
            fault.hint = '--prompt "a text" draws a text'
        raise


def _named(path: Path, scenes: Sequence[Scene]) -> Iterator[Named]:
    stem = path.name.removesuffix(SCENE_SUFFIX)
    stem = slug(stem if stem != path.name else path.stem) or "scene"
    width = len(str(len(scenes)))
    for k, scene in enumerate(scenes):
        if scene.picture is not None and scene.picture.path and len(scenes) > 1:
            yield Named(slug(Path(scene.picture.path).stem) or stem, scene)
        else:
            yield Named(stem if len(scenes) == 1 else f"{stem}-{k + 1:0{width}d}", scene)


def slug(text: str) -> str:
    """A plain file name: letters, digits, ".", "_" and "-"."""
    return re.sub(r"[^\w.]+", "-", text, flags=re.ASCII).strip("-.")[:100]


def unique(scenes: Sequence[Named]) -> Iterator[Named]:
    """The same names, "-2", "-3", ... added to those that came before; none is that of an overlay or mask."""
    taken = set(RESERVED)
    for one in scenes:
        base = re.sub(r"\.(overlay|mask|cutout|strip)$", r"-\1", one.name, flags=re.IGNORECASE)
        name, k = base, 2
        while name.lower() in taken:
            name, k = f"{base}-{k}", k + 1
        taken.add(name.lower())
        yield Named(name, one.scene)


def _fitted(scene: Scene, to_wh: tuple[int, int], name: str) -> Scene:
    """Brought to another size, cutting off what the other shape has no room for."""
    try:
        if scene.size_wh != UNSIZED_WH:
            scene = Transform.fit(scene.size_wh, to_wh).scene(scene)
        return replace(scene, size_wh=to_wh, picture=None)
    except SceneError as fault:
        raise SceneError(f"{name}: {fault.message}", fault.hint) from fault


def _near(size_wh: tuple[int, int], native_wh: tuple[int, int]) -> bool:
    """Whether a canvas has about as many pixels as the model was trained on (half to twice)."""
    share = size_wh[0] * size_wh[1] / (native_wh[0] * native_wh[1])
    return 0.5 <= share <= 2.0


def _fit_notes(fitted: int, cut: int, to_wh: tuple[int, int]) -> tuple[str, ...]:
    if not fitted:
        return ()
    lost = f"; {_counted(cut, 'instance')} left the canvas" if cut else ""
    return (f"{_counted(fitted, 'scene')} fitted to {to_wh[0]}x{to_wh[1]} (middle kept){lost}",)


def _odd_notes(odd: dict[tuple[int, int], int], native_wh: tuple[int, int]) -> tuple[str, ...]:
    width, height = native_wh
    return tuple(
        f"{_counted(number, 'scene')} of {size[0]}x{size[1]}, but the model was trained at {width}x{height}: "
        f"expect poor pictures; --size {width}x{height} fits them to it"
        for size, number in odd.items()
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
