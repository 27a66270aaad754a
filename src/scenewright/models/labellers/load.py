"""Labellers by name: a judge of the package, a judge's file, a folder of transformers, a hub id."""

from __future__ import annotations

from pathlib import Path

from scenewright.errors import ModelError, nearest
from scenewright.models.judges.store import WEIGHTS, judge_path, load_judge, read_judge_header
from scenewright.models.labellers.protocol import Checker, Labeller
from scenewright.models.load import pick_device
from scenewright.models.registry import HUB_ID
from scenewright.models.store import snapshot

EMBEDDED = "labeller"
"""Name of the package's labeller: a segmenter of the toybox, unlike the detector in build and training."""

CHECKER = "verifier"
"""Name of the package's second opinion."""

NONE = "none"
"""Asks for no second opinion."""


def load_labeller(name: str = "", device: str = "auto") -> Labeller:
    """The labeller called `name`; the package's own for "".

    A name of a judge in the package or the file of one (a labeller, a segmenter or a detector), a folder
    with a model of transformers, or the hub id of one that lies in the hub cache. Raises ModelError when it
    is not there or cannot label. Nothing is fetched from the network.
    """
    from scenewright.models.labellers.judges import DetectorLabeller, SegmenterLabeller

    name = name or EMBEDDED
    if (folder := _folder(name)) is not None:
        from scenewright.models.labellers.queries import load_queries

        return load_queries(folder, _short(name), pick_device(device))
    file = _judge(name)
    kind = read_judge_header(file).kind
    if kind not in ("labeller", "segmenter", "detector"):
        raise ModelError(f"{name} is a {kind}, which gives no masks", "a labeller or a detector does")
    judge = load_judge(file, device=pick_device(device))
    return DetectorLabeller(judge) if kind == "detector" else SegmenterLabeller(judge)


def load_checker(name: str, labeller: Labeller, device: str = "auto") -> Checker | None:
    """The second opinion called `name`; for "" the package's verifier if the labeller is of the drawn world.

    "none" is none. Raises ModelError for another name than that of a verifier.
    """
    from scenewright.models.labellers.judges import VerifierChecker

    if name == NONE or (not name and not _of_drawn_world(labeller)):
        return None
    file = judge_path(name or CHECKER)
    return VerifierChecker(load_judge(file, kind="verifier", device=pick_device(device)))


def _of_drawn_world(labeller: Labeller) -> bool:
    here = (WEIGHTS / f"{CHECKER}.safetensors").is_file()
    return here and labeller.vocabulary.name == "toybox"


def _folder(name: str) -> Path | None:
    """The folder of a model of transformers, or None for what is called otherwise."""
    place = Path(name).expanduser()
    if place.is_dir():
        if not (place / "config.json").is_file():
            raise ModelError(f"{name} is a folder without config.json", "transformers writes such folders")
        return place
    if place.is_file() or not HUB_ID.fullmatch(name):
        return None
    found = snapshot(name)
    if found is None:
        raise ModelError(f"{name} is not in the hub cache", f"run: scenewright models pull {name}")
    return found


def _judge(name: str) -> Path:
    if name == EMBEDDED and not (WEIGHTS / f"{EMBEDDED}.safetensors").is_file() and not Path(name).is_file():
        raise ModelError(
            "this installation has no labeller of its own",
            "--labeller names one: a judge's file, or an instance segmenter of transformers by id",
        )
    try:
        return judge_path(name)
    except ModelError as fault:
        known = sorted(file.stem for file in WEIGHTS.glob("*.safetensors"))
        if nearest(name, known) is None:
            fault.hint = "a judge, its file, or an instance segmenter of transformers by folder or hub id"
        raise


def _short(name: str) -> str:
    """A folder's last part; hub ids as they are."""
    return Path(name).name if Path(name).expanduser().is_dir() else name
