"""What is to be drawn: class lists with the published grammar, or scene files; both become named jobs.

Grammar (Li et al., Open-vocabulary Object Segmentation with Diffusion Models, ICCV 2023): some classes, drawn
without replacement, in "a photograph of a A and a B and a C". Which ones: of the seen part of a class split,
of the unseen part, or half and half.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from scenewright.errors import InputError, nearest
from scenewright.evaluate.splits import ClassSplit, class_split
from scenewright.flows.jobs import Job, Request
from scenewright.flows.options import parse_classes
from scenewright.scene import Instance, Scene, Vocabulary
from scenewright.scene.schema import LARGEST_SEED
from scenewright.scene.vocabulary import fold

Grammar = Literal["seen", "seen_unseen", "unseen"]

MOST = 10_000_000
"""Most pictures of a data set."""

STREAM = 0x5EED
"""Second word of the seed of the class draws, so that they share nothing with the pictures' noise."""


@dataclass(frozen=True, kw_only=True)
class ClassSource:
    """Pictures of some classes each; checked when made (InputError).

    classes      names to draw from; empty: those of the class split
    grammar      "seen", "unseen", or "seen_unseen" for half of each; with `classes` only "seen"
    split        number of the published class split, 1 to 3
    per_picture  classes in a picture
    total        number of pictures that are tried
    seed         of the first picture; picture k has seed + k, and its classes depend on that number alone
    """

    classes: tuple[str, ...] = ()
    grammar: Grammar = "seen"
    split: int = 1
    per_picture: int = 2
    total: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        if self.grammar not in get_args(Grammar):
            close = nearest(str(self.grammar), get_args(Grammar))
            hint = f"did you mean {close}?" if close else ""
            raise InputError(
                f"grammar is {self.grammar!r}; expected one of {', '.join(get_args(Grammar))}", hint
            )
        if self.classes and self.grammar != "seen":
            raise InputError(
                f"classes of one's own have no unseen part, but the grammar is {self.grammar}",
                "leave out the grammar, or the classes",
            )
        _whole(self.total, "total", 1, MOST, "number of pictures")
        _whole(self.per_picture, "per_picture", 1, 1000, "2 is usual")
        _whole(self.seed, "seed", 0, LARGEST_SEED - MOST, "0 counts from 0")
        folded = [fold(name) for name in self.classes]
        if "" in folded:
            raise InputError(f"the class {self.classes[folded.index('')]!r} has no letter")
        if twice := [name for k, name in enumerate(self.classes) if fold(name) in folded[:k]]:
            raise InputError(f"the class {twice[0]!r} stands in the list twice")
        self._check_parts()

    def _check_parts(self) -> None:
        if self.grammar == "seen_unseen" and self.per_picture % 2:
            raise InputError(
                f"{self.per_picture} classes in a picture cannot be half seen and half unseen",
                "an even number can",
            )
        for names, number in self._parts():
            if number > len(names):
                raise InputError(
                    f"{number} different classes in a picture, but there are {len(names)} to draw from",
                    "fewer classes in a picture, or a longer list",
                )

    def _parts(self) -> list[tuple[tuple[str, ...], int]]:
        """What is drawn from, and how many of it."""
        if self.classes:
            return [(self.classes, self.per_picture)]
        split: ClassSplit = class_split(self.split)
        if self.grammar == "seen_unseen":
            half = self.per_picture // 2
            return [(split.seen, half), (split.unseen, half)]
        return [(split.seen if self.grammar == "seen" else split.unseen, self.per_picture)]

    def drawn(self, k: int) -> tuple[str, ...]:
        """The classes of picture `k` in the order of its prompt."""
        rng = np.random.default_rng((self.seed + k, STREAM))
        names = [
            part[int(i)]
            for part, number in self._parts()
            for i in rng.choice(len(part), size=number, replace=False)
        ]
        return tuple(names[int(i)] for i in rng.permutation(len(names)))

    def jobs(self, size_wh: tuple[int, int]) -> list[Job]:
        """All of them, on a canvas of `size_wh` pixels."""
        found = []
        for k in range(self.total):
            names = self.drawn(k)
            instances = tuple(Instance(name, category=name) for name in names)
            found.append(Job("-".join(names), Scene(prompt_of(names), size_wh, instances), self.seed + k))
        return named(found)

    def to_json(self) -> dict[str, Any]:
        """What stands in the data set's description."""
        drawn = {"classes": list(self.classes)} if self.classes else {"split": self.split}
        return {
            "kind": "classes",
            "grammar": self.grammar,
            **drawn,
            "per_picture": self.per_picture,
            "total": self.total,
            "seed": self.seed,
        }


def source_of(
    files: Sequence[Path],
    grammar: str = "",
    split: int = 1,
    classes: Sequence[str] = (),
    vocabulary: str = "",
    *,
    per_picture: int = 2,
    total: int = 500,
    fmt: str = "auto",
    count: int = 1,
    seed: int | None = None,
    size_wh: tuple[int, int] | None = None,
) -> ClassSource | Request:
    """The one source that a user names: scene files, a part of a class split, classes, or a vocabulary.

    Raises InputError when none is named, or two of them.
    """
    given = {"scene files": files, "--grammar": grammar, "--classes": classes, "--vocabulary": vocabulary}
    told = [name for name, value in given.items() if value]
    if len(told) != 1:
        raise InputError(
            f"{' and '.join(told)} were given; one of them says what to draw" if told else "nothing to draw",
            "scene files, --grammar seen, --classes cat,dog, or --vocabulary toybox",
        )
    if files:
        return Request(files=tuple(files), fmt=fmt, size_wh=size_wh, seed=seed, count=count)
    names: tuple[str, ...] = parse_classes(classes) if classes else ()
    if vocabulary:
        names = tuple(one.name for one in Vocabulary.load(vocabulary) if one.thing)
    return ClassSource(
        classes=names,
        grammar=grammar or "seen",  # type: ignore[arg-type]
        split=split,
        per_picture=per_picture,
        total=total,
        seed=0 if seed is None else seed,
    )


def prompt_of(classes: Sequence[str]) -> str:
    """ "a photograph of a cat and an aeroplane"."""
    return f"a photograph of {' and '.join(f'{_article(name)} {name}' for name in classes)}"


def named(jobs: Sequence[Job]) -> list[Job]:
    """The jobs with file names that sort in their order: "000017-cat-dog"."""
    width = max(6, len(str(len(jobs) - 1)))
    return [replace(job, name=f"{k:0{width}d}-{_slug(job.name)}".strip("-")) for k, job in enumerate(jobs)]


def of_files(request: Request) -> dict[str, Any]:
    """What stands in the description of a data set that was drawn from scene files."""
    return {
        "kind": "scenes",
        "files": [path.name for path in request.files],
        "prompts": len(request.prompts),
        "count": request.count,
        "seed": request.seed,
    }


def _article(name: str) -> str:
    return "an" if name[:1].lower() in tuple("aeiou") else "a"


def _slug(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text, flags=re.ASCII).strip("-")[:60]


def _whole(value: object, name: str, low: int, high: int, advice: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; expected a whole number from {low} to {high}", advice)
