"""The options of masks as one value, the same for every command that has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scenewright.errors import InputError

if TYPE_CHECKING:
    from scenewright.flows.options import GroundOptions


def asked(
    ground: bool,
    classes: Sequence[str],
    head: str,
    rule: str,
    threshold: float,
    cutouts: bool,
    compare_detector: bool,
) -> GroundOptions | None:
    """The options of masks; None if there are to be none. InputError for one of them without --ground."""
    from scenewright.flows.options import GroundOptions, parse_classes

    given = {
        "--classes": bool(classes),
        "--head": bool(head),
        "--ground-rule": rule != "argmax",
        "--ground-threshold": threshold != 0.5,
        "--cutouts": cutouts,
        "--compare-detector": compare_detector,
    }
    if not ground:
        if spare := [name for name, there in given.items() if there]:
            raise InputError(f"{spare[0]} is about masks, and none were asked for", "add --ground")
        return None
    return GroundOptions(
        classes=parse_classes(classes), head=head, rule=rule, threshold=threshold,
        cutouts=cutouts, compare_detector=compare_detector,
    )  # type: ignore[arg-type]  # fmt: skip
