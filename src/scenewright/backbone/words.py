"""Class names to vectors: pooled hidden states of the text encoder over exactly the tokens of a name.

Which tokens those are is told by the tokenizer's offsets of a span whose place in the text is known, so case,
repeated words and one name inside another ("dog" in "hot dog") make no difference. Modes:

=========  ===========================================================  ==================================
mode       text                                                         used by
=========  ===========================================================  ==================================
template   "a photograph of a A" for each class alone                   the paper's code (arXiv 2301.05221)
joint      "A and a B": the classes of a sample in one text             grounded-diffusers, training
subtract   template, minus the vectors of the sample's other classes    grounded-diffusers, inference
prompt     the sample's own prompt where it names the class, else       this package
           template
=========  ===========================================================  ==================================

A class is a name, or several names for one thing; their vectors are averaged (in a prompt: those it has).

Letters: B samples, K classes, D width, L text tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.model import Backbone
from scenewright.backbone.text import embed
from scenewright.errors import InputError, nearest

TEXT_MODES = ("template", "joint", "subtract", "prompt")
"""Names of the modes."""

TEMPLATE = "a photograph of a {}"
"""The text around a class that the released heads were trained with (always "a", also before a vowel)."""

JOINING = " and a "
"""Between the classes of a joint text."""

STOP = frozenset("a an and at by for from in into is of on or over the to under with".split())
"""Words that name nothing; a class made of them alone is refused."""

Name = str | Sequence[str]
"""A class: a name, or several names for one thing."""

Span = tuple[int, int]
"""Characters of a text, half-open."""


def class_vectors(
    backbone: Backbone,
    prompts: Sequence[str],
    classes: Sequence[Sequence[Name]],
    mode: str = "template",
    *,
    template: str = TEMPLATE,
) -> tuple[Tensor, Tensor]:
    """Vectors [B, K, D] in float32 of the classes of every sample, and which slots are used [B, K].

    K is the largest number of classes; unused slots are zero. `prompts` are read in mode "prompt" only.
    Raises InputError for a sample without classes, a class without a name, of stop words alone or without
    tokens, for an unknown mode, and for classes that do not fit into one text.
    """
    check_mode(mode)
    if len(prompts) != len(classes):
        raise InputError(f"{len(prompts)} prompts and {len(classes)} lists of classes; one list per prompt")
    named = [[names_of(one) for one in row] for row in checked(classes)]
    pieces: list[list[list[tuple[str, Span]]]] = []
    for prompt, row in zip(prompts, named, strict=True):
        if mode == "joint":
            pieces.append(_joint(row))
        else:
            text = _read_part(backbone, prompt) if mode == "prompt" else ""
            inside = find_spans(text, row)
            pieces.append([_pieces(text, *pair, template) for pair in zip(inside, row, strict=True)])
    vectors = _pooled(backbone, pieces)
    if mode == "subtract":
        vectors = [[2 * own - torch.stack(many).sum(0) for own in many] for many in vectors]
    most = max(map(len, vectors), default=0)
    vectors_BKD = torch.zeros(
        len(vectors), most, backbone.context_width, device=next(backbone.text_encoder.parameters()).device
    )
    used_BK = torch.zeros(len(vectors), most, dtype=torch.bool, device=vectors_BKD.device)
    for b, own in enumerate(vectors):
        vectors_BKD[b, : len(own)] = torch.stack(own)
        used_BK[b, : len(own)] = True
    return vectors_BKD, used_BK


def check_mode(mode: str) -> None:
    """Raise InputError unless `mode` is one of `TEXT_MODES`."""
    if mode not in TEXT_MODES:
        close = nearest(mode, TEXT_MODES)
        raise InputError(
            f"unknown text mode {mode!r}; known: {', '.join(TEXT_MODES)}",
            f"did you mean {close}?" if close else "",
        )


def checked(classes: Sequence[Sequence[Name]]) -> Sequence[Sequence[Name]]:
    """`classes` as given. Raises InputError for what cannot be looked for."""
    for b, row in enumerate(classes):
        if isinstance(row, str):
            raise InputError(f"the classes of sample {b} are the text {row!r}", "give a list of names")
        if not row:
            raise InputError(f"sample {b} has no classes to look for", "name at least one")
        for one in row:
            for name in names_of(one):
                words = re.findall(r"[^\W_]+", name.lower())
                if not name.strip():
                    raise InputError(f"a class of sample {b} has no name", "leave it out")
                if words and all(word in STOP for word in words):
                    raise InputError(f"the class {name!r} names nothing that could be seen", "leave it out")
    return classes


def names_of(one: Name) -> tuple[str, ...]:
    """The names of a class. Raises InputError for a class without any."""
    names = (one,) if isinstance(one, str) else tuple(one)
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"a class is a name or a list of names, not {one!r}")
    return names


def find_spans(text: str, classes: Sequence[Name]) -> list[list[Span]]:
    """Where the classes stand in a text: whole words, in any case, with a plural s; none where they do not.

    Longer names are found first and keep their words: with both "hot dog" and "dog", the dog of "hot dog" is
    no dog.
    """
    found: list[list[Span]] = [[] for _ in classes]
    names = [(name, k) for k, one in enumerate(classes) for name in names_of(one)]
    taken: dict[Span, str] = {}
    for name, k in sorted(names, key=lambda pair: -len(pair[0])):
        words = r"\s+".join(re.escape(word) for word in name.split())
        if not words:
            continue
        for match in re.finditer(rf"(?<!\w){words}(?:e?s)?(?!\w)", text, re.IGNORECASE):
            span, lower = match.span(), " ".join(name.lower().split())
            if all(
                span[1] <= s or e <= span[0] or (span == (s, e) and own == lower)
                for (s, e), own in taken.items()
            ):
                taken[span] = lower
                found[k].append(span)
    return [sorted(set(spans)) for spans in found]


def token_places(offsets: Sequence[Span], span: Span) -> list[int]:
    """Places of the tokens that have characters of `span`; `offsets` are the tokenizer's."""
    return [i for i, (start, end) in enumerate(offsets) if start < span[1] and end > span[0] and end > start]


def offsets_of(backbone: Backbone, texts: Sequence[str]) -> list[list[Span]]:
    """Characters of every token of each text, both end marks included (empty spans), not cut."""
    if not texts:
        return []
    encoded: Any = backbone.tokenizer(
        list(texts), return_offsets_mapping=True, truncation=False, verbose=False
    )
    return [[(int(start), int(end)) for start, end in row] for row in encoded["offset_mapping"]]


def _joint(row: Sequence[tuple[str, ...]]) -> list[list[tuple[str, Span]]]:
    """All classes of a sample in one text, each by its first name."""
    text, spans = "", []
    for names in row:
        text += JOINING if text else ""
        spans.append((len(text), len(text) + len(names[0])))
        text += names[0]
    return [[(text, span)] for span in spans]


def _pieces(
    prompt: str, inside: Sequence[Span], names: tuple[str, ...], template: str
) -> list[tuple[str, Span]]:
    """Where a class is read: its places `inside` the prompt, else every name in the template."""
    if inside:
        return [(prompt, span) for span in inside]
    before, after = template.split("{}")
    return [(f"{before}{name}{after}", (len(before), len(before) + len(name))) for name in names]


def _read_part(backbone: Backbone, prompt: str) -> str:
    """The part of a prompt that fits into the text encoder's window."""
    offsets = offsets_of(backbone, [prompt])[0]
    return prompt if len(offsets) <= backbone.window else prompt[: offsets[backbone.window - 1][0]].rstrip()


def _pooled(backbone: Backbone, pieces: Sequence[Sequence[Sequence[tuple[str, Span]]]]) -> list[list[Tensor]]:
    """The mean vector [D] of every class over the means of its pieces."""
    texts = list(dict.fromkeys(text for row in pieces for one in row for text, _ in one))
    place = {text: i for i, text in enumerate(texts)}
    offsets = offsets_of(backbone, texts)
    for text, tokens in zip(texts, offsets, strict=True):
        if len(tokens) > backbone.window:
            raise InputError(
                f"{text[:60]!r}... has {len(tokens)} tokens, {backbone.name} reads {backbone.window}",
                "name fewer classes at once, or read each alone (text mode 'template')",
            )
    hidden_TLD = embed(backbone, texts).tokens_BLD.float()

    def mean(text: str, span: Span) -> Tensor:
        tokens = token_places(offsets[place[text]], span)
        if not tokens:
            raise InputError(
                f"the class {text[slice(*span)]!r} has no tokens for the text encoder",
                "write its name in letters",
            )
        return hidden_TLD[place[text], tokens].mean(0)

    return [[torch.stack([mean(*piece) for piece in one]).mean(0) for one in row] for row in pieces]
