"""Does DGInStyle's claim hold here? Each part as a sentence, decided by figures with their intervals."""

from __future__ import annotations

from collections.abc import Mapping

from scenewright.flows.reproduce.dginstyle_plan import (
    AIM,
    ARMS,
    CONTROL_ENOUGH,
    MARGIN,
    RARE_ENOUGH,
)
from scenewright.flows.reproduce.dginstyle_scores import MEAN, ArmScores
from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.results import Verdict, span

Arms = Mapping[str, ArmScores]
Judged = Mapping[str, Mapping[str, Value]]

BEST = ("fusion", "swap")
"""The sets whose pictures are held to the control's figures: the first that is there."""


def verdicts(arms: Arms, judged: Judged) -> list[Verdict]:
    """The parts of the claim; None where something was not measured."""
    return [
        _margin(arms, MARGIN),
        _margin(arms, AIM),
        _above("the swap helps: it is above generating without it", arms, "swap", "plain"),
        _above("the fusion helps: it is above one pass", arms, "fusion", "swap"),
        _control(judged, "miou", CONTROL_ENOUGH, "the pictures follow their maps: the judge's mIoU"),
        _control(judged, "rare", RARE_ENOUGH, "rare classes follow them, too: their mIoU"),
        _small(judged),
    ]


def gain(arms: Arms, arm: str, over: str) -> Value | None:
    """How much an arm is above another, averaged over the target looks; None where one is not there."""
    if arm not in arms or over not in arms:
        return None
    return arms[arm].values[MEAN] - arms[over].values[MEAN]


def _margin(arms: Arms, limit: float) -> Verdict:
    words = (
        f"swap and fusion add at least {100 * limit:.0f} points to the source with changed colours, averaged "
        "over the target looks"
    )
    found = gain(arms, "fusion", "colour")
    if found is None:
        return Verdict(words, None, "")
    return Verdict(words, found.value >= limit, f"{points(found)}; {_both(arms, 'fusion', 'colour')}")


def _above(words: str, arms: Arms, arm: str, over: str) -> Verdict:
    found = gain(arms, arm, over)
    if found is None:
        return Verdict(words, None, "")
    low = found.estimate().low
    figures = f"{points(found)}; {_both(arms, arm, over)}"
    return Verdict(words, None if low is None else low > 0, figures)


def _control(judged: Judged, metric: str, limit: float, what: str) -> Verdict:
    words = f"{what} with them is at least {limit:g} of that of renders of the same maps"
    name = next((one for one in BEST if one in judged), None)
    if name is None or "renders" not in judged:
        return Verdict(words, None, "")
    share = judged[name][metric].share_of(judged["renders"][metric])
    one = share.estimate()
    figures = f"{ARMS[name].title}: {span(one)}" if one.value is not None else ""
    return Verdict(words, None if one.value is None else one.value >= limit, figures)


def _small(judged: Judged) -> Verdict:
    words = "the fusion keeps more of the things under 1 % of the picture than one pass does"
    if not {"swap", "fusion"} <= set(judged):
        return Verdict(words, None, "")
    one, other = judged["fusion"]["small"], judged["swap"]["small"]
    low = (one - other).estimate().low
    figures = f"{points(one - other)}; {100 * one.value:.1f} % against {100 * other.value:.1f} %"
    return Verdict(words, None if low is None else low > 0, figures if low is not None else "")


def points(one: Value) -> str:
    """ "+3.4 points, 2.1 to 4.6"."""
    found = one.estimate()
    if found.value is None:
        return "nothing to be compared"
    text = f"{100 * found.value:+.1f} points"
    if found.low is None or found.high is None:
        return text
    return f"{text}, {100 * found.low:+.1f} to {100 * found.high:+.1f}"


def _both(arms: Arms, arm: str, over: str) -> str:
    return f"{100 * arms[arm].values[MEAN].value:.1f} % against {100 * arms[over].values[MEAN].value:.1f} %"
