"""Does the claim about the grounding head hold? Each part in a sentence, decided by figures on renders."""

from __future__ import annotations

from collections.abc import Mapping

from scenewright.flows.reproduce.figures import Value
from scenewright.flows.reproduce.grounding_plan import (
    BASE,
    BY_NAME,
    GAIN,
    SEEN_ENOUGH,
    UNSEEN_ENOUGH,
    Variant,
)
from scenewright.flows.reproduce.grounding_scores import HeadScores
from scenewright.flows.reproduce.results import Verdict

Heads = Mapping[Variant, HeadScores]
Alone = Mapping[int, HeadScores]


def verdicts(heads: Heads, alone: Alone) -> list[Verdict]:
    """The parts of the claim on real renders; None where a variant was not trained."""
    return [
        _seen(heads),
        _unseen(heads, alone),
        _long_tail(heads, alone),
        _splits(heads, alone),
        _attention(heads),
        _losses(heads),
        _published(heads),
    ]


def _value(heads: Heads, name: str, metric: str) -> Value | None:
    scores = heads.get(BY_NAME[name])
    return None if scores is None else scores.values[metric]


def _seen(heads: Heads) -> Verdict:
    words = f"seen classes: mIoU of at least {100 * SEEN_ENOUGH:.0f} %"
    found = _value(heads, BASE, "miou_seen")
    if found is None:
        return Verdict(words, None, "")
    return Verdict(words, _at_least(found, SEEN_ENOUGH), _told(found))


def _unseen(heads: Heads, alone: Alone) -> Verdict:
    words = (
        f"unseen classes: mIoU of at least {100 * UNSEEN_ENOUGH:.0f} %, and {100 * GAIN:.0f} points above "
        "the attention alone"
    )
    found = _value(heads, BASE, "miou_unseen")
    if found is None:
        return Verdict(words, None, "")
    bare = alone[1].values["miou_unseen"]
    enough, better = _at_least(found, UNSEEN_ENOUGH), _at_least(found - bare, GAIN)
    holds = None if enough is None or better is None else enough and better
    return Verdict(words, holds, f"{_told(found)} against {_told(bare)}")


def _long_tail(heads: Heads, alone: Alone) -> Verdict:
    words = "classes outside the split (the long tail): above the attention alone"
    return _above(words, _value(heads, BASE, "miou_long_tail"), alone[1].values["miou_long_tail"])


def _splits(heads: Heads, alone: Alone) -> Verdict:
    words = "in all three splits unseen classes are above the attention alone"
    names = (BASE, "split-2", "split-3")
    found = [_value(heads, name, "miou_unseen") for name in names]
    pairs = [
        (one, alone[BY_NAME[name].split].values["miou_unseen"])
        for name, one in zip(names, found, strict=True)
        if one is not None
    ]
    if len(pairs) < len(names):
        return Verdict(words, None, "")
    lows = [(one - bare).estimate().low for one, bare in pairs]
    holds = None if any(low is None for low in lows) else all(low is not None and low > 0 for low in lows)
    return Verdict(words, holds, "; ".join(f"{_told(one)} against {_told(bare)}" for one, bare in pairs))


def _attention(heads: Heads) -> Verdict:
    words = "maps of the words' own attention help with unseen classes"
    return _above(words, _value(heads, BASE, "miou_unseen"), _value(heads, "no-attention", "miou_unseen"))


def _losses(heads: Heads) -> Verdict:
    words = "of the four losses, one with Dice is best on seen classes and BCE on unseen ones"
    losses = {
        one.loss: scores.values
        for one, scores in heads.items()
        if one.name in (BASE, "bce", "dice", "log_cosh")
    }
    if len(losses) < 4:
        return Verdict(words, None, "")
    best = {
        metric: max(losses, key=lambda loss: losses[loss][metric].value)
        for metric in ("miou_seen", "miou_unseen")
    }
    figures = f"seen: {best['miou_seen']}, unseen: {best['miou_unseen']}"
    return Verdict(words, best["miou_seen"] != "bce" and best["miou_unseen"] == "bce", figures)


def _published(heads: Heads) -> Verdict:
    words = "log-cosh-Dice + BCE in its correct form is better than as published (sigmoid twice)"
    return _above(words, _value(heads, "log_cosh", "miou"), _value(heads, "log_cosh_published", "miou"))


def _above(words: str, one: Value | None, other: Value | None) -> Verdict:
    """Whether the interval of the difference is above 0."""
    if one is None or other is None:
        return Verdict(words, None, "")
    low = (one - other).estimate().low
    return Verdict(words, None if low is None else low > 0, f"{_told(one)} against {_told(other)}")


def _at_least(one: Value, limit: float) -> bool | None:
    return None if one.value != one.value else one.value >= limit


def _told(one: Value) -> str:
    value = one.estimate().value
    return "-" if value is None else f"{100 * value:.1f} %"
