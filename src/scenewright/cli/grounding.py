"""The options of masks as one value, the same for every command that has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewright.flows.options import GroundOptions


def asked(
    classes: Sequence[str],
    head: str,
    rule: str,
    threshold: float,
    cutouts: bool,
    compare_detector: bool,
) -> GroundOptions:
    """The options of masks. Raises InputError."""
    from scenewright.flows.options import GroundOptions, parse_classes

    found = parse_classes(classes, hint="without it the scene's phrases are taken")
    return GroundOptions(
        classes=found, head=head, rule=rule,  # type: ignore[arg-type]
        threshold=threshold, cutouts=cutouts, compare_detector=compare_detector,
    )  # fmt: skip
