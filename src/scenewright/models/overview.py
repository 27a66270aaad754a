"""What there is, as rows: all cards and everything the user added; and models added by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from scenewright.errors import InputError, ModelError
from scenewright.models.cards import cards, suggest
from scenewright.models.hashes import SMALL, adapter_base, stored_fingerprint
from scenewright.models.registry import SINGLE
from scenewright.models.store import added, find, remember

COLUMNS = ("name", "kind", "state", "base", "licence", "title")
"""Columns of the table on the terminal."""


def overview() -> list[dict[str, str]]:
    """One row per model: name, kind, state, base, licence, title, belongs_to, path, link (texts, empty if
    unknown).

    The state is ``here``, ``to be pulled``, ``by hand`` or ``missing`` (embedded or added, but gone). The
    base is a fingerprint: of a small backbone's UNet (large ones: `pull.check`), or of the backbone that an
    adapter was trained on.
    """
    rows = []
    for card in cards().values():
        place = find(card)
        gone = card.embedded or card.alias in added()
        away = "missing" if gone else "by hand" if card.manual else "to be pulled"
        rows.append(
            {
                "name": card.alias,
                "kind": card.kind,
                "state": "here" if place else away,
                "base": _base(place),
                "licence": card.licence,
                "title": card.title,
                "belongs_to": card.belongs_to,
                "path": str(place or ""),
                "link": card.manual.link if card.manual else card.mirrors[0].repo if card.mirrors else "",
            }
        )
    for name, mine in added().items():
        if name not in cards():
            state = "here" if Path(mine.path).exists() else "missing"
            row = {"name": name, "kind": mine.kind, "state": state, "base": _base(Path(mine.path))}
            rows.append(dict.fromkeys(rows[0], "") | row | {"path": mine.path})
    return rows


def add(path: str | Path, name: str = "") -> tuple[str, str]:
    """Record a model that lies at `path`; its name and kind.

    Without `name` a file that a card waits for gets the card's name, anything else the path's last part.
    Raises ModelError if there is nothing usable at `path`, InputError for a name that cannot be used.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise ModelError(f"nothing at {path}", "check the path")
    waiting = [card for card in cards().values() if card.manual and card.manual.file == path.name]
    if name in cards():
        waiting = [card for card in waiting if card.alias == name] or waiting
    elif not name and len(waiting) > 1:
        known = ", ".join(card.alias for card in waiting)
        raise InputError(f"several models have a file {path.name}: {known}", "say which: --name NAME")
    name = name or (waiting[0].alias if waiting else path.stem)
    if not name.strip() or "/" in name or name != name.strip():
        raise InputError(f"{name!r} cannot be a model's name", "use letters, digits, - and +")
    kind = _kind(path) if not waiting else waiting[0].kind
    card = cards().get(name)
    if card is not None and card.kind != kind and not (kind == "adapter" and "+" in name):
        raise ModelError(f"{name} is the name of a {card.kind}, {path} is a {kind}", suggest(path.stem))
    remember(name, path, kind)
    return name, kind


def table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    """Rows as lines of aligned text with a head line."""
    lines = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _base(place: Path | None) -> str:
    """Fingerprint that a backbone has, or that an adapter needs; empty where only a check would tell."""
    if place is None:
        return ""
    if place.is_dir():
        return stored_fingerprint(place, SMALL)
    return adapter_base(place)[1] if place.suffix == ".safetensors" else ""


def _kind(path: Path) -> str:
    """Kind of card that a path is, told by what lies there."""
    from scenewright.models.adapter import read_header

    if path.is_dir():
        if (path / "model_index.json").is_file():
            return "backbone"
        raise ModelError(f"{path} has no model_index.json", "expected a diffusers folder or a model file")
    if path.suffix not in SINGLE:
        raise ModelError(f"{path} is not a model file", f"expected one of {', '.join(SINGLE)}")
    if path.suffix != ".safetensors":
        return "backbone"
    try:
        read_header(path)
    except ModelError as error:
        if "not an adapter" in error.message:
            return "backbone"
        raise
    return "adapter"
