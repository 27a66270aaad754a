"""Which kinds of location are read: by what each instance has, by a list, or as published. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from scenewright.errors import InputError, nearest

KINDS = ("box", "point", "scribble", "mask")
"""Kinds of location that a picture can keep or drop; a mask gives polygon points and map tokens."""

PUBLISHED: Mapping[str, tuple[str, ...]] = {
    "published-box": ("box", "point"),
    "published-point": ("point",),
    "published-scribble": ("box", "point", "scribble", "mask"),
    "published-mask": ("box", "point", "mask"),
}
"""The four test configurations of InstanceDiffusion: the kinds that they keep, for all instances alike. A
kept scribble or mask that an instance does not have is encoded as zeros, a missing point is the box's
middle."""


def check_use(use: str) -> None:
    """Raises InputError unless `use` is empty, a list of `KINDS` with commas, or a name in `PUBLISHED`."""
    if use and use not in PUBLISHED:
        kinds_of(use)


def kinds_of(use: str) -> tuple[str, ...]:
    """The kinds in a list such as "box,mask", in the order of `KINDS`, or of a published configuration.

    Raises InputError for another word, and for none.
    """
    if use in PUBLISHED:
        return PUBLISHED[use]
    words = [word.strip() for word in use.split(",")]
    for word in words:
        if word not in KINDS:
            close = nearest(word, (*KINDS, *PUBLISHED))
            known = f"a list of {', '.join(KINDS)}, or one of {', '.join(PUBLISHED)}"
            raise InputError(
                f"use is {use!r}; expected {known}",
                f"did you mean {close!r}?" if close else "without it each instance is placed by what it has",
            )
    return tuple(kind for kind in KINDS if kind in words)
