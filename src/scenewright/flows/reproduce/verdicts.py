"""Does the claim hold here? Each part as a sentence, decided by figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scenewright.evaluate.bootstrap import Estimate
from scenewright.flows.reproduce.curve import CONTROL, Curve
from scenewright.flows.reproduce.figures import Table
from scenewright.flows.reproduce.plan import RENDERS
from scenewright.flows.reproduce.results import Swept, Verdict, percent, span

EARLY, EARLY_SHARE = 0.3, 0.8
"""Equation 10 holds if gates open in this share of the steps keep this share of the AP50 of open gates."""

QUARTER = 0.25
"""Text alone places things by chance if its AP50 is below this share of the one with boxes."""


def verdicts(tables: Mapping[str, Table], swept: Sequence[Swept], curve: Curve | None) -> list[Verdict]:
    """The parts of the claim in the order of the paper."""
    text, null, layout, best = (tables[name].all.values for name in ("text", "null", "layout", RENDERS))
    gain = (layout["ap50"] - text["ap50"]).estimate()
    chance = text["ap50"].share_of(layout["ap50"]).estimate()
    return [
        Verdict(
            "with boxes, things are where they were asked for: AP50 is above that of the text alone",
            _above(gain, 0.0) if best["ap50"].value > 0 else None,
            f"{percent(layout['ap50'])} against {percent(text['ap50'])}; "
            f"{percent(layout['ap50'].share_of(best['ap50']))} of the ceiling",
        ),
        Verdict(
            "the text alone does not place them: its AP50 is under a quarter of the one with boxes",
            None if chance.value is None else chance.high is not None and chance.high < QUARTER,
            span(chance),
        ),
        Verdict(
            "the boxes do it, not the added layers: AP50 with boxes is above that with the null layout",
            _above((layout["ap50"] - null["ap50"]).estimate(), 0.0) if best["ap50"].value > 0 else None,
            f"{percent(layout['ap50'])} against {percent(null['ap50'])}",
        ),
        _early(swept),
        _late(curve),
    ]


def _early(swept: Sequence[Swept]) -> Verdict:
    words = (
        f"the first steps decide places (equation 10): open in {100 * EARLY:.0f} % of the steps keeps at "
        f"least {100 * EARLY_SHARE:.0f} % of the AP50 of gates that stay open"
    )
    plain = {one.stage.on: one.scores.values["ap50"] for one in swept if not one.stage.falling}
    if EARLY not in plain or 1.0 not in plain:
        return Verdict(words, None, "")
    kept = plain[EARLY].share_of(plain[1.0]).estimate()
    return Verdict(words, None if kept.value is None else kept.value >= EARLY_SHARE, span(kept))


def _late(curve: Curve | None) -> Verdict:
    words = f"control appears: the probe's IoU with layout comes to stay above {CONTROL:g} times that without"
    if curve is None:
        return Verdict(words, None, "")
    control = curve.control
    if control is None:
        return Verdict(words, False, f"not within {curve.ends[-1]} steps")
    return Verdict(words, True, f"from step {control.total} of {curve.ends[-1]} on")


def _above(one: Estimate, limit: float) -> bool | None:
    return None if one.low is None else one.low > limit
