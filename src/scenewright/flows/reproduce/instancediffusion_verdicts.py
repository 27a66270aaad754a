"""Does InstanceDiffusion's claim hold here? Each part as a sentence, decided by figures with their
intervals."""

from __future__ import annotations

from collections.abc import Mapping

from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.instancediffusion_plan import (
    BOX,
    COLOUR_ENOUGH,
    FACTOR_ENOUGH,
    KEPT_ENOUGH,
    PART_MARGIN,
    PIM_ENOUGH,
    RENDERS,
    TEXTURE_ENOUGH,
    TURNED_ENOUGH,
)
from scenewright.flows.reproduce.instancediffusion_scores import ArmScores
from scenewright.flows.reproduce.results import Verdict, span

Arms = Mapping[str, ArmScores]


def verdicts(arms: Arms, parts: Arms, edits: ArmScores | None) -> list[Verdict]:
    """The parts of the claim in the order of the paper; None where something was not drawn."""
    return [
        _not_below(arms),
        _above(
            "words for every box help: AP50 is above GLIGEN's with class names", arms, BOX, "gligen-names"
        ),
        _above("masks are followed: mask AP is above that of boxes", arms, "mask", BOX, "mask_ap"),
        _enough(arms, "point", "pim_points", PIM_ENOUGH, "points"),
        _enough(arms, "scribble", "pim_scribbles", PIM_ENOUGH, "scribbles"),
        _of_ceiling(arms, "colour", COLOUR_ENOUGH),
        _of_ceiling(arms, "texture", TEXTURE_ENOUGH),
        _below("MIS keeps colours apart: neighbours' colours are seen less often", arms, "mis", "leak"),
        _above("ScaleU helps: AP50 is above that without it", arms, BOX, "no-scaleu"),
        _above("masked attention helps: AP50 is above that of full attention", arms, "masked", "full"),
        _parts(parts),
        _turned(parts),
        *_edits(edits),
    ]


def _value(arms: Arms, arm: str, metric: str) -> Value | None:
    scores = arms.get(arm)
    found = scores.values.get(metric) if scores is not None else None
    return found if found is not None and found.value == found.value else None


def _not_below(arms: Arms) -> Verdict:
    words = "from boxes alone, AP50 is not below that of GLIGEN's adapter with the same phrases"
    one, other = _value(arms, BOX, "ap50"), _value(arms, "gligen", "ap50")
    if one is None or other is None:
        return Verdict(words, None, "")
    high = (one - other).estimate().high
    nothing = high is None or not max(one.value, other.value)
    return Verdict(words, None if nothing else high is not None and high >= 0, _against(one, other))


def _above(words: str, arms: Arms, arm: str, over: str, metric: str = "ap50") -> Verdict:
    one, other = _value(arms, arm, metric), _value(arms, over, metric)
    if one is None or other is None:
        return Verdict(words, None, "")
    low = (one - other).estimate().low
    return Verdict(words, None if low is None else low > 0, _against(one, other))


def _below(words: str, arms: Arms, arm: str, metric: str) -> Verdict:
    one, other = _value(arms, arm, metric), _value(arms, BOX, metric)
    if one is None or other is None:
        return Verdict(words, None, "")
    high = (one - other).estimate().high
    return Verdict(words, None if high is None else high < 0, _against(one, other))


def _enough(arms: Arms, arm: str, metric: str, limit: float, what: str) -> Verdict:
    words = f"{what} are followed: at least {100 * limit:.0f} % lie in the thing's mask, missing ones counted"
    one = _value(arms, arm, metric)
    if one is None:
        return Verdict(words, None, "")
    return Verdict(words, one.value >= limit, span(one.estimate()))


def _of_ceiling(arms: Arms, metric: str, limit: float) -> Verdict:
    words = f"from boxes, {metric}s are at least {100 * limit:.0f} % of the ceiling"
    one, best = _value(arms, BOX, metric), _value(arms, RENDERS, metric)
    if one is None or best is None:
        return Verdict(words, None, "")
    share = one.share_of(best).estimate()
    return Verdict(words, None if share.value is None else share.value >= limit, span(share))


def _parts(parts: Arms) -> Verdict:
    words = f"part boxes are followed: their IoU is at least {PART_MARGIN:g} above that without them"
    one, other = _value(parts, "parts", "part_iou"), _value(parts, "whole", "part_iou")
    if one is None or other is None:
        return Verdict(words, None, "")
    gain = (one - other).estimate()
    return Verdict(
        words,
        None if gain.value is None else gain.value >= PART_MARGIN,
        f"{one.value:.3f} against {other.value:.3f}",
    )


def _turned(parts: Arms) -> Verdict:
    words = f"mirrored parts turn a thing round in at least {100 * TURNED_ENOUGH:.0f} % of the cases"
    one = _value(parts, "mirrored", "turned")
    return (
        Verdict(words, None, "")
        if one is None
        else Verdict(words, one.value >= TURNED_ENOUGH, span(one.estimate()))
    )


def _edits(edits: ArmScores | None) -> list[Verdict]:
    words = (
        f"moving one of four things leaves the masks of the others at an IoU of at least {KEPT_ENOUGH:g}",
        f"it changes the ground at least {FACTOR_ENOUGH:g} times less than a fresh picture does",
    )
    if edits is None:
        return [Verdict(one, None, "") for one in words]
    kept, factor = (edits.values[name].estimate() for name in ("kept_iou", "factor"))
    return [
        Verdict(
            words[0],
            None if kept.value is None else kept.value >= KEPT_ENOUGH,
            "" if kept.value is None else f"{kept.value:.3f}",
        ),
        Verdict(
            words[1],
            None if factor.value is None else factor.value >= FACTOR_ENOUGH,
            "" if factor.value is None else f"{factor.value:.1f} times",
        ),
    ]


def _against(one: Value, other: Value) -> str:
    gain = (one - other).estimate()
    span = (
        ""
        if gain.low is None or gain.high is None
        else (f", difference {100 * gain.low:+.1f} to {100 * gain.high:+.1f} points")
    )
    return f"{100 * one.value:.1f} % against {100 * other.value:.1f} %{span}"
