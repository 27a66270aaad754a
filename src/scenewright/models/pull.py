"""Fetch a model into the standard hub cache, and check what is there.

huggingface_hub's cache and settings are used (HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE). On top of it:
ordered mirrors, pinned revisions, room on the disk, resuming, sizes and hashes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from scenewright.errors import ModelError, ScenewrightError, StorageError
from scenewright.models.cards import Card, File, Mirror, cards
from scenewright.models.fetch import fetch, network_errors
from scenewright.models.hashes import adapter_base, stored_fingerprint, unet_file
from scenewright.models.registry import cards_of
from scenewright.models.store import added, find, snapshot
from scenewright.models.verify import problem

SKIPPED = (
    ".md",
    ".msgpack",
    ".h5",
    ".onnx",
    ".onnx_data",
    ".ot",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".gitattributes",
)
"""Endings of files in hub repositories that nothing here reads."""

SKIPPED_FOLDERS = ("safety_checker", "feature_extractor")

PICKLES = (".bin", ".ckpt", ".pt", ".pth")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Checked:
    """One expected file and how it is."""

    alias: str
    path: str
    state: str
    """``ok``, ``missing``, ``wrong size``, ``wrong hash``, ``other base``, ``to be fetched by hand``."""
    size: int | None
    detail: str = ""


def pull(name: str, *, half: bool = False, say: Say = lambda _line: None) -> list[Path]:
    """Fetch all files of `name` into the hub cache; the folders (or files) they are in.

    `half` takes the half-precision files where both exist. `say` gets one line per step, for people; files on
    pages for people are described there. Raises ModelError if no mirror has the model or a file is damaged,
    StorageError if the disk is too small or cannot be written.
    """
    if name in added() and name not in cards():
        say(f"{name}: nothing to fetch (added from {added()[name].path})")
        return [Path(added()[name].path)]
    wanted, notices = cards_of(name)
    for notice in notices:
        say(notice)
    places = []
    for card in wanted:
        if card.manual is not None and find(card) is None:
            say(f"{card.alias}: {card.title}")
            say(f"  fetch {card.manual.file} from {card.manual.link}")
            say(f"  then run: scenewright models add PATH --name {card.alias}")
            continue
        if card.where == "hub":
            say(f"{card.alias}: {card.title}; licence: {card.licence}")
            places.append(_pull_card(card, half, say))
        else:
            say(
                f"{card.alias}: nothing to fetch ({'ships with the package' if card.embedded else 'is here'})"
            )
    return places


def check(name: str) -> list[Checked]:
    """How each expected file of `name` is on this machine; offline, reads every byte to compare hashes."""
    if name in added() and name not in cards():
        return _check_added(name, Path(added()[name].path))
    rows = []
    for card in cards_of(name)[0]:
        place = find(card)
        if place is None:
            state = "to be fetched by hand" if card.manual else "missing"
            detail = card.manual.link if card.manual else f"scenewright models pull {card.alias}"
            rows.append(Checked(card.alias, card.single_file or card.alias, state, None, detail))
        elif place.is_file():
            expected = [file for file in card.files if file.path == place.name] or [File(path=place.name)]
            rows.append(_check_file(card.alias, place.parent, expected[0]))
        else:
            rows += [_check_file(card.alias, place, file) for file in _expected(card, place)]
        if place is not None:
            rows = _with_base(rows, card, place)
    return rows


def _with_base(rows: list[Checked], card: Card, place: Path) -> list[Checked]:
    """`rows` with the fingerprint beside a backbone's UNet, and beside an adapter that of its base.

    An adapter whose base is here with other weights is ``other base``: it will be refused.
    """
    if place.is_dir() and (unet := unet_file(place)):
        path, detail, state = unet.relative_to(place).as_posix(), f"base {stored_fingerprint(place)}", "ok"
    elif place.suffix == ".safetensors" and (needs := adapter_base(place)[1]):
        below = find(cards()[card.belongs_to]) if card.belongs_to else None
        there = stored_fingerprint(below) if below else ""
        path, detail, state = place.name, f"for base {needs}", "ok"
        if there and there != needs:
            detail, state = f"for base {needs}, {card.belongs_to} here is {there}", "other base"
    else:
        return rows
    return [
        replace(row, state=state, detail=detail)
        if (row.alias, row.path, row.state, row.detail) == (card.alias, path, "ok", "")
        else row
        for row in rows
    ]


def _check_added(name: str, place: Path) -> list[Checked]:
    """The files of a model that the user added: whether they are there; nothing is known to compare with."""
    paths = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return [
        Checked(name, str(path), "ok", path.stat().st_size, "added by hand: nothing to compare with")
        if path.is_file()
        else Checked(name, str(path), "missing", None, f"scenewright models add PATH --name {name}")
        for path in paths
    ]


def _pull_card(card: Card, half: bool, say: Say) -> Path:
    problems = []
    for mirror in card.mirrors:
        try:
            return _pull_mirror(card, mirror, half, say)
        except network_errors() as error:
            problems.append(f"{mirror.repo}: {_reason(error)}")
            say(f"  {problems[-1]}")
    raise ModelError(f"{card.alias} could not be fetched: {'; '.join(problems)}", _advice(problems))


def _pull_mirror(card: Card, mirror: Mirror, half: bool, say: Say) -> Path:
    files = choose(card.files or _listing(mirror), half)
    _need_room(card, mirror, files)
    for file in files:
        say(f"  {mirror.repo}: {file.path}")
        fetch(mirror.repo, file, mirror.revision)
    place = snapshot(mirror.repo, mirror.revision)
    if place is None:
        raise ScenewrightError(f"{mirror.repo} was fetched, but is not in the hub cache")
    return place / card.single_file if card.single_file else place


def _listing(mirror: Mirror) -> list[File]:
    """The useful files of a repository, with the sizes and hashes the hub gives."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(mirror.repo, revision=mirror.revision, files_metadata=True)
    files = []
    for entry in info.siblings or []:
        path = PurePosixPath(entry.rfilename)
        if path.suffix in SKIPPED or path.name in SKIPPED or path.parts[0] in SKIPPED_FOLDERS:
            continue
        lfs = entry.lfs
        weights = path.suffix in (".safetensors", *PICKLES)
        variant = ("half" if ".fp16." in path.name else "full") if weights else None
        files.append(
            File(path=str(path), size=entry.size, sha256=lfs.sha256 if lfs else None, variant=variant)
        )
    return files


def choose(files: Iterable[File], half: bool) -> list[File]:
    """One precision and one format per folder: safetensors before pickles, `half` where both are there.

    Other variants (``non_ema``) and whole-model files beside a diffusers folder are left out.
    """
    files = [file for file in files if "non_ema" not in file.path]
    folders: dict[str, list[File]] = {}
    for file in files:
        folders.setdefault(str(PurePosixPath(file.path).parent), []).append(file)
    whole = any(file.path == "model_index.json" for file in files)
    kept = []
    for folder, members in folders.items():
        weights = [file for file in members if file.variant]
        safe = [file for file in weights if file.path.endswith(".safetensors")]
        weights = safe or weights
        wanted = "half" if half else "full"
        weights = [file for file in weights if file.variant == wanted] or weights
        if not (whole and folder == "."):
            kept += weights
        kept += [file for file in members if not file.variant]
    return kept


def _need_room(card: Card, mirror: Mirror, files: list[File]) -> None:
    from huggingface_hub import constants

    there = snapshot(mirror.repo, mirror.revision)
    needed = sum(file.size or 0 for file in files if there is None or not (there / file.path).exists())
    place = Path(constants.HF_HUB_CACHE)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place)[2]
    if needed > free:
        raise StorageError(
            f"{card.alias} needs {needed / 1e9:.1f} GB, {place} has {free / 1e9:.1f} GB left",
            "free space, or set HF_HOME to a larger disk",
        )


def _expected(card: Card, folder: Path) -> list[File]:
    """What should lie in `folder`: the card's files in the precision that is there, or all files there."""
    if not card.files:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return [File(path=path.relative_to(folder).as_posix()) for path in paths]
    half = any((folder / file.path).exists() for file in card.files if file.variant == "half")
    full = any((folder / file.path).exists() for file in card.files if file.variant == "full")
    return choose(card.files, half and not full)


def _check_file(alias: str, folder: Path, file: File) -> Checked:
    path = folder / file.path
    if not path.is_file():
        return Checked(alias, file.path, "missing", file.size, f"scenewright models pull {alias}")
    wrong = problem(path, file)
    state, _, detail = wrong.partition(": ")
    return Checked(alias, file.path, state or "ok", path.stat().st_size, detail)


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
        return "not in the hub cache, and the hub cannot be reached"
    if isinstance(error, errors.GatedRepoError):
        return "its licence has to be accepted on the hub page first"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the pinned revision is gone"
    if isinstance(error, errors.EntryNotFoundError):
        return f"a file is gone ({str(error).splitlines()[0]})"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository, or it needs a token"
    return str(error).splitlines()[0]


def _advice(problems: list[str]) -> str:
    text = " ".join(problems)
    if "cannot be reached" in text:
        return "check the network, HF_HUB_OFFLINE and HF_ENDPOINT"
    if "licence" in text or "token" in text:
        return "accept the licence on the hub page and set HF_TOKEN"
    return "check the network and try again"
