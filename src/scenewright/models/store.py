"""Where models lie on this machine: in the package, in the hub cache, and what the user added by hand.

The hub cache is the standard one (HF_HOME, HF_HUB_CACHE). The list of added models is `models.json` in
`SCENEWRIGHT_HOME`, by default ``scenewright`` in the user's cache folder.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scenewright.errors import ModelError, StorageError
from scenewright.models.cards import Card

PACKAGE = Path(__file__).parent
"""Folder of this package's embedded weights."""


@dataclass(frozen=True)
class Added:
    """One model that the user pointed at."""

    path: str
    kind: str
    """Kind of card, see `cards.KINDS`."""


def home() -> Path:
    """Folder of this package's own files outside the hub cache; it may not exist yet."""
    if given := os.environ.get("SCENEWRIGHT_HOME"):
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "scenewright"


def added() -> Mapping[str, Added]:
    """Models that `remember` recorded, by name. Raises ModelError if the list cannot be read."""
    path = home() / "models.json"
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {name: Added(**entry) for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read: {error}", "correct or delete this file") from error


def remember(name: str, path: Path, kind: str) -> None:
    """Record that the model `name` lies at `path`. Raises StorageError if the list cannot be written."""
    entries = {key: vars(value) for key, value in added().items()}
    entries[name] = {"path": str(path.resolve()), "kind": kind}
    target = home() / "models.json"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            fresh = Path(scratch) / target.name
            fresh.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            os.replace(fresh, target)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}", "set SCENEWRIGHT_HOME") from error


def snapshot(repo: str, revision: str | None = None) -> Path | None:
    """The hub cache's folder of a repository at `revision`, else at its last known `main`; None if absent."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    if revision and (folder / "snapshots" / revision).is_dir():
        return folder / "snapshots" / revision
    ref = folder / "refs" / "main"
    if ref.is_file():
        commit = folder / "snapshots" / ref.read_text(encoding="utf-8").strip()
        return commit if commit.is_dir() else None
    return None


def find(card: Card) -> Path | None:
    """Where the card's model lies on this machine (folder or file), or None."""
    mine = added().get(card.alias)
    if mine is not None:
        return Path(mine.path) if Path(mine.path).exists() else None
    if card.embedded:
        place = PACKAGE / card.embedded
        present = place.is_file() or (place / "model_index.json").is_file()
        return place if present else None
    for mirror in card.mirrors:
        folder = snapshot(mirror.repo, mirror.revision)
        if folder is None:
            continue
        place = folder / card.single_file if card.single_file else folder
        if place.exists():
            return place
    return None
