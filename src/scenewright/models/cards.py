"""Cards: what the package knows about models that exist, as data (`cards.json`).

A card names a model, says where its files are (in this package, on the hub with ordered mirrors, or on a page
that only a person can use), what the files should be, the licence, and what it belongs to.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenewright.errors import ModelError, nearest

KINDS = {
    "backbone": "a whole model: diffusers folder or single file",
    "adapter": "added weights in this package's format",
    "gligen-diffusers": "a diffusers UNet with GLIGEN inside; to be converted",
    "gligen-original": "an original GLIGEN checkpoint; to be converted",
    "instancediffusion-original": "an original InstanceDiffusion checkpoint; to be converted",
    "dginstyle": "DGInStyle's networks",
    "grounding-original": "an original mask module of Grounded Diffusion; to be converted",
    "grounding-port": "a mask module of grounded-diffusers; to be converted",
    "tokenizer": "a word list",
}
"""Kinds of card and what each is."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One expected file of a model."""

    path: str
    """Path inside the repository."""
    size: int | None = None
    """Bytes, where known."""
    sha256: str | None = None
    """64 hex digits, where known; else the hub's own hash is used."""
    variant: str | None = None
    """``full`` or ``half`` precision; None belongs to both."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One hub repository that has the files."""

    repo: str
    revision: str | None = None
    """Pinned commit; None takes what `main` is on the day."""


@dataclass(frozen=True, kw_only=True)
class Manual:
    """A file that lies on a page for people."""

    link: str
    file: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """One model."""

    alias: str
    kind: str
    title: str
    licence: str
    gated: bool = False
    """Whether the hub asks for an accepted licence and a token."""
    embedded: str = ""
    """Path below `scenewright/models/` for models that ship with the package."""
    mirrors: tuple[Mirror, ...] = ()
    """Where the files are, best first."""
    files: tuple[File, ...] = ()
    """Expected files; empty asks the hub for the list."""
    single_file: str = ""
    """The one file that is the model, for original checkpoints."""
    config: str = ""
    """Shipped config of a single file whose weights do not tell it (`backbone.single_file.CONFIGS`)."""
    manual: Manual | None = None
    belongs_to: str = ""
    """Alias of the backbone it was trained on."""
    fits: tuple[str, ...] = ()
    """Aliases of backbones of the same layout that it is known to work on."""

    numbers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What a converter cannot tell from the weights: slots, heads, sample_size."""

    @property
    def where(self) -> str:
        """One word: ``embedded``, ``hub`` or ``manual``."""
        return "embedded" if self.embedded else "hub" if self.mirrors else "manual"


@functools.cache
def cards() -> Mapping[str, Card]:
    """All cards by alias. Raises ModelError if `cards.json` is not as it should be."""
    return {card.alias: card for card in (_card(entry) for entry in _document()["cards"])}


def removed_ids() -> Mapping[str, str]:
    """Hub ids that no longer exist, and the id that has the same files."""
    return dict(_document()["removed"])


def living_id(repo: str) -> str:
    """`repo`, or its living mirror if it was removed from the hub.

    Whole families went: everything of ``runwayml`` in August 2024, ``stabilityai/stable-diffusion-2*`` in
    November 2025.
    """
    known = removed_ids()
    if repo in known:
        return known[repo]
    owner, _, name = repo.partition("/")
    if owner == "runwayml":
        return f"stable-diffusion-v1-5/{name}"
    if owner == "stabilityai" and name.startswith("stable-diffusion-2"):
        return f"sd2-community/{name}"
    return repo


def card_of_repo(repo: str) -> Card | None:
    """The card of the whole model in a hub repository (single files of it have cards of their own)."""
    for card in cards().values():
        if not card.single_file and any(mirror.repo == repo for mirror in card.mirrors):
            return card
    return None


def suggest(name: str) -> str:
    """A hint for an unknown model name: the nearest alias, or how to see all."""
    close = nearest(name, cards())
    return f"did you mean {close}?" if close else "scenewright models list shows all names"


@functools.cache
def _document() -> dict[str, Any]:
    content = json.loads((Path(__file__).parent / "cards.json").read_text(encoding="utf-8"))
    return dict(content)


def _card(entry: Mapping[str, Any]) -> Card:
    known = {field.name for field in dataclasses.fields(Card)}
    alias = entry.get("alias", "?")
    if unknown := sorted(set(entry) - known):
        raise ModelError(f"card {alias}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    if entry.get("kind") not in KINDS:
        raise ModelError(f"card {alias}: kind {entry.get('kind')!r}; expected one of {', '.join(KINDS)}")
    values: dict[str, Any] = dict(entry)
    values["mirrors"] = tuple(Mirror(**mirror) for mirror in entry.get("mirrors", ()))
    values["files"] = tuple(File(**file) for file in entry.get("files", ()))
    values["manual"] = Manual(**entry["manual"]) if "manual" in entry else None
    values["fits"] = tuple(entry.get("fits", ()))
    return Card(**values)
