"""The benchmarks of open-vocabulary segmentation: whose classes, which background rule, which mIoU.

Figures of the literature differ by these three more than by method, so all three are in a protocol's id, its
title and the notes of its results. Rules for pixels of none of the classes (`RULES`):

=========  =================================================================================================
none       the vocabulary has no background; pixels without a label count for nothing
ignored    true background counts for nothing, and nothing is asked to be background (VOC-20, PC-59)
names      background is a class: it is asked for as "background" and by the 39 classes of Pascal-Context that
           are no VOC classes; what any of them wins is background (VOC-21, as ODISE)
context    background is a class, asked for by those 39 names without the word itself (VOC-20b, as CAT-Seg)
threshold  background is a class: pixels whose best class has less than a probability
plain      background is a class, asked for by its own name alone
=========  =================================================================================================

Everything is asked for at once: the whole class list of the benchmark, in every picture. Ids end in a number;
whatever would change a figure gets a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from scenewright.errors import InputError, nearest
from scenewright.evaluate.protocol import Metric, Protocol
from scenewright.scene.files import parse_json
from scenewright.scene.vocabulary import Vocabulary

RULES: Final = {
    "none": "there is no background: pixels without a label count for nothing",
    "ignored": "true background counts for nothing, and nothing is asked to be background",
    "names": "background is a class, asked for by that word and by the 39 context names that are no classes",
    "context": "background is a class, asked for by the 39 context names that are no classes",
    "threshold": "background is a class: pixels whose best class has too low a probability",
    "plain": "background is a class, asked for by its own name alone",
}
"""What each background rule says, for titles and notes."""

FORMULA: Final = (
    "mIoU is of one confusion matrix of the whole set; 'classes in the truth' leaves out classes that are "
    "only predicted (Detectron2 today), 'classes in either' counts them as 0 (Detectron2 before)"
)

METRICS: Final = (
    Metric(name="miou", title="mIoU, classes in the truth"),
    Metric(name="miou_seen", title="mIoU, seen names"),
    Metric(name="miou_unseen", title="mIoU, unseen names"),
    Metric(name="harmonic", title="harmonic mean, seen and unseen"),
    Metric(name="miou_either", title="mIoU, classes in either"),
    Metric(name="fwiou", title="IoU weighted by frequency"),
    Metric(name="macc", title="mean class accuracy"),
    Metric(name="pixels", title="pixel accuracy"),
    Metric(name="iou", title="IoU"),
)
"""`iou` is that of single classes, in groups only."""


@dataclass(frozen=True, kw_only=True)
class OpenProtocol(Protocol):
    """A benchmark of open-vocabulary segmentation.

    word        on the command line, "voc20"
    vocabulary  whose classes are asked for, and label maps are of
    rule        key of `RULES`
    count       number of pictures of the published split, 0 if there is none
    """

    word: str
    vocabulary: str
    rule: str
    count: int = 0

    @property
    def background(self) -> bool:
        """Whether background is a class that is scored."""
        return self.rule not in ("none", "ignored")


def open_protocol_of(vocabulary: str, rule: str = "") -> OpenProtocol:
    """The protocol of any vocabulary; `rule` "" is "names" where it has a background, else "none".

    Raises InputError for an unknown vocabulary or rule, and for a rule that wants a background there is not.
    """
    known = Vocabulary.load(vocabulary)
    rule = rule or ("none" if known.background is None else "names")
    if rule not in RULES:
        close = nearest(rule, RULES)
        hint = f"did you mean {close}?" if close else f"there are {', '.join(RULES)}"
        raise InputError(f"there is no background rule {rule!r}", hint)
    if known.background is None and rule != "none":
        raise InputError(f"the vocabulary {known.name!r} has no background", "--background none")
    return _protocol(known.name, vocabulary, rule, known.title or known.name)


def _protocol(word: str, vocabulary: str, rule: str, title: str, count: int = 0) -> OpenProtocol:
    return OpenProtocol(
        id=f"ovss-{word}-{rule}-1",
        benchmark="ovss",
        title=f"{title}, all names asked for at once; {RULES[rule]}",
        judges=(),
        metrics=METRICS,
        word=word,
        vocabulary=vocabulary,
        rule=rule,
        count=count,
    )


OPEN_PROTOCOLS: Final = {
    one.word: one
    for one in (
        _protocol("voc20", "voc", "ignored", "VOC 2012, 20 classes", 1449),
        _protocol("voc21", "voc", "names", "VOC 2012, 20 classes and background", 1449),
        _protocol("voc20b", "voc", "context", "VOC 2012, 20 classes and background", 1449),
        _protocol("pc59", "pascal-context", "ignored", "Pascal-Context, 59 classes", 5104),
        _protocol("pc459", "pascal-context-459", "none", "Pascal-Context, 459 classes", 5104),
        _protocol("a150", "ade20k", "none", "ADE20K, 150 classes", 2000),
        _protocol("a847", "ade20k-full", "none", "ADE20K, 847 classes", 2000),
        _protocol("coco-stuff", "coco-stuff", "none", "COCO-Stuff, 171 classes", 5000),
    )
}
"""By the word of ``evaluate ovss --benchmark``."""


def open_protocol(word: str) -> OpenProtocol:
    """The protocol of that word; InputError with the nearest word if there is none."""
    if word in OPEN_PROTOCOLS:
        return OPEN_PROTOCOLS[word]
    close = nearest(word, OPEN_PROTOCOLS)
    hint = f"did you mean {close}?" if close else f"there are {', '.join(OPEN_PROTOCOLS)}; or --vocabulary"
    raise InputError(f"there is no benchmark {word!r} of open-vocabulary segmentation", hint)


def open_protocol_with_id(id: str) -> OpenProtocol | None:
    """The protocol of a report; None if it is none of these, nor of a vocabulary that ships."""
    for one in OPEN_PROTOCOLS.values():
        if one.id == id:
            return one
    parts = id.removeprefix("ovss-").removesuffix("-1").rpartition("-")
    if not id.startswith("ovss-") or parts[2] not in RULES:
        return None
    try:
        return open_protocol_of(parts[0], parts[2])
    except InputError:
        return None


@cache
def published_names(vocabulary: str) -> tuple[str, ...]:
    """The names of the classes as the benchmark's lists write them, synonyms and all."""
    if vocabulary == "ade20k-full":
        file = resources.files("scenewright.evaluate") / "sets" / "ade20k-full-names.json"
        return tuple(parse_json(file.read_bytes(), file.name)["names"])
    return Vocabulary.load(vocabulary).names


def seen_by_name(vocabulary: str, seen: Sequence[str]) -> tuple[bool, ...]:
    """Of every class whether its published name is, letter by letter, one of the `seen` names.

    A class may well have been seen under another name ("aeroplane", "airplane"): the split is by name, which
    is what a text encoder is given.
    """
    known = set(seen)
    return tuple(name in known for name in published_names(vocabulary))
