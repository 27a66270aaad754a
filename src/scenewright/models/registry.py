"""From a name (``nano``, ``sd15+gligen:my.safetensors``, a folder, a file, a hub id) to places on disk.

Nothing is fetched here; what is missing is an error that says which command fetches it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from scenewright.errors import ModelError, nearest
from scenewright.models.cards import Card, card_of_repo, cards, living_id, suggest
from scenewright.models.store import added, find, snapshot

SINGLE = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
"""Endings of single-file checkpoints."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Resolved:
    """Where the parts of a named model lie."""

    name: str
    backbone: Path
    """A diffusers folder, or a single file."""
    backbone_name: str
    config: str
    """Shipped config for a single file; empty detects it."""
    adapter: Path | None
    """An adapter file, or None."""
    any_backbone: bool
    """Whether the adapter is known to fit this backbone although it was trained on another."""
    notices: tuple[str, ...]
    """What the user should be told."""


def resolve(name: str) -> Resolved:
    """The places of `name`: ``BASE`` or ``BASE+ADAPTER``.

    BASE is an alias, a folder, a single file or a hub id; ADAPTER is a word (``gligen``), a word with a file
    (``gligen:my.safetensors``) or a file. Raises ModelError, with the nearest name or the command that
    fetches the model, if there is no such thing on this machine.
    """
    base, word = split(name)
    place, alias, config, notices = _backbone(base)
    adapter, anywhere = _adapter(alias or base, word) if word else (None, False)
    return Resolved(name, place, alias or base, config, adapter, anywhere, notices)


def split(name: str) -> tuple[str, str]:
    """``BASE+ADAPTER`` in two; the second is empty if there is no adapter. Existing paths stay whole."""
    if not name.strip():
        raise ModelError("the model's name is empty", "e.g. nano, nano+gligen, sd15, a folder, a hub id")
    if "+" not in name or Path(name).exists():
        return name, ""
    base, word = name.split("+", 1)
    if not base or not word:
        raise ModelError(f"model {name!r}: expected BASE+ADAPTER", "e.g. nano+gligen")
    return base, word


def cards_of(name: str) -> tuple[list[Card], tuple[str, ...]]:
    """The cards that make up `name`, and notices about ids that moved; for pulling and checking.

    A hub id without a card gets one made up. Raises ModelError for an unknown name.
    """
    if name in cards():
        card = cards()[name]
        below = [card.belongs_to] if card.kind == "adapter" and card.belongs_to else []
        beside = ["clip-tokenizer"] if card.single_file else []
        return [cards()[alias] for alias in (*below, name, *beside)], ()
    base, word = split(name)
    notices: tuple[str, ...] = ()
    if base in cards():
        found = cards()[base]
    elif HUB_ID.fullmatch(base):
        repo = living_id(base)
        notices = _moved(base, repo)
        found = card_of_repo(repo) or _made_up(repo)
    else:
        raise ModelError(f"unknown model {name!r}", suggest(base))
    if not word:
        return [found], notices
    return [found, _adapter_card(found.alias, word)], notices


def _backbone(base: str) -> tuple[Path, str, str, tuple[str, ...]]:
    """Place, alias (or empty), config and notices of a backbone."""
    if base in cards() or base in added():
        place, config = _backbone_of_alias(base)
        return place, base, config, ()
    path = Path(base).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix in SINGLE):
        return path, "", "", ()
    if path.is_file():
        raise ModelError(f"{path} is not a model file", f"expected one of {', '.join(SINGLE)}")
    if path.suffix in SINGLE or path.is_absolute() or base.startswith((".", "~")):
        raise ModelError(f"no model at {path}", "check the path")
    if not HUB_ID.fullmatch(base):
        raise ModelError(f"unknown model {base!r}", suggest(base))
    repo = living_id(base)
    card = card_of_repo(repo)
    if card is not None:
        place, config = _backbone_of_alias(card.alias)
        return place, card.alias, config, _moved(base, repo)
    folder = snapshot(repo)
    if folder is None:
        raise ModelError(f"{repo} is not in the hub cache", f"run: scenewright models pull {repo}")
    return folder, repo, "", _moved(base, repo)


def _backbone_of_alias(alias: str) -> tuple[Path, str]:
    mine, card = added().get(alias), cards().get(alias)
    kind = mine.kind if mine else card.kind if card else ""
    if kind != "backbone":
        base = card.belongs_to if card and card.belongs_to else "BASE"
        hint = f"write it after a backbone: {base}+{alias.split('+')[-1]}"
        raise ModelError(f"{alias} is not a backbone but {kind}", hint)
    if mine:
        if not Path(mine.path).exists():
            raise ModelError(f"{alias} was added from {mine.path}, which is gone", "add it again")
        return Path(mine.path), card.config if card and Path(mine.path).is_file() else ""
    assert card is not None
    return _found(card), card.config


def _adapter(base: str, word: str) -> tuple[Path, bool]:
    """Place of an adapter, and whether it may run on weights it was not trained on."""
    kind, _, given = word.partition(":")
    for text in (word, given):
        if text and Path(text).expanduser().is_file():
            return Path(text).expanduser(), False
    if given or word.endswith(SINGLE):
        raise ModelError(f"no adapter at {given or word}", "check the path")
    if f"{base}+{kind}" in added():
        return Path(added()[f"{base}+{kind}"].path), False
    card = _adapter_card(base, kind)
    place = _found(card)
    if place.is_dir() or (card.kind != "adapter" and card.alias not in added()):
        raise ModelError(
            f"{card.alias} is there, but in a foreign format ({card.kind})",
            f"run: scenewright models convert {card.alias}",
        )
    return place, base != card.belongs_to and base in card.fits


def _adapter_card(base: str, word: str) -> Card:
    exact = cards().get(f"{base}+{word}")
    if exact is not None:
        return exact
    for card in cards().values():
        if card.alias.endswith(f"+{word}") and base in card.fits:
            return card
    foreign = cards().get(word)
    if foreign is not None and foreign.belongs_to == base:
        return foreign
    words = sorted({alias.split("+")[1] for alias in cards() if alias.startswith(f"{base}+")})
    close = nearest(word, words)
    known = f"known for {base}: {', '.join(words)}" if words else f"none is known for {base}"
    hint = f"did you mean {base}+{close}?" if close else f"give a file: {base}+{word}:PATH"
    raise ModelError(f"no adapter {word!r} for {base}; {known}", hint)


def _found(card: Card) -> Path:
    place = find(card)
    if place is not None:
        return place
    if card.embedded:
        raise ModelError(
            f"the embedded model {card.alias} is missing from this installation", "reinstall scenewright"
        )
    if card.manual is not None:
        raise ModelError(
            f"{card.alias} has to be fetched by hand: {card.manual.file} from {card.manual.link}",
            f"then run: scenewright models add PATH --name {card.alias}",
        )
    raise ModelError(
        f"{card.alias} ({card.title}) is not on this machine", f"run: scenewright models pull {card.alias}"
    )


def _moved(asked: str, living: str) -> tuple[str, ...]:
    if asked == living:
        return ()
    return (f"{asked} was removed from the hub; using its mirror {living}",)


def _made_up(repo: str) -> Card:
    from scenewright.models.cards import Mirror

    return Card(
        alias=repo,
        kind="backbone",
        title=repo,
        licence="see the hub page",
        mirrors=(Mirror(repo=repo),),
    )
