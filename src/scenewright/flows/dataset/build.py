"""Build a data set: batch after batch, every picture exactly once, whatever interrupts it.

The unit of work is the batch, and what is in a batch depends on the orders alone. Files of a picture are
written under temporary names and renamed, then its line is appended to the journal; the same call again
leaves out what is in the journal. A run that was killed and continued leaves the same bytes as one that was
not, in single precision on one machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenewright.errors import InputError
from scenewright.flows.dataset.folder import (
    DESCRIPTION,
    Dataset,
    description_bytes,
    files_of,
    is_ours,
    sweep,
)
from scenewright.flows.dataset.journal import JOURNAL, Entry, Journal, State, forget
from scenewright.flows.dataset.orders import Order, digest
from scenewright.flows.generate import batches, stepwise
from scenewright.scene.files import atomic_write, atomic_write_all
from scenewright.scene.record import SCENE_SUFFIX

if TYPE_CHECKING:
    from scenewright.flows.dataset.work import Made, Maker

ELSEWHERE = "--out FOLDER builds a new one elsewhere; dataset.json says how this one was made"

Done = Callable[[Entry], None]
Progress = Callable[[float, int], None]


@dataclass(frozen=True)
class Built:
    """A finished data set: its folder, its journal in order, and how many pictures were made just now."""

    folder: Path
    entries: tuple[Entry, ...]
    fresh: int

    def count(self, state: State) -> int:
        """Number of pictures in that state."""
        return sum(one.state == state for one in self.entries)


def describe(tools: Maker, wanted: Sequence[Order], source: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in ``dataset.json``: everything that the result depends on, without clock and folders."""
    from scenewright.flows.provenance import provenance

    made = provenance(tools.bundle, tools.options, wanted[0].job.scene, 0)
    for key in ("seed", "negative"):
        del made[key]
    versions = made.pop("versions")
    model = {
        **made,
        "negative": tools.options.negative,
        "overflow": tools.options.overflow,
        "batch": tools.options.batch,
    }
    return {
        "kind": "built",
        "pictures": len(wanted),
        "source": {**source, "digest": digest(wanted)},
        "model": model,
        "labels": tools.facts(),
        "versions": versions,
    }


def build(
    tools: Maker,
    wanted: Sequence[Order],
    out: Path,
    source: Mapping[str, Any],
    *,
    retry_failed: bool = False,
    on_done: Done | None = None,
    on_progress: Progress | None = None,
) -> Built:
    """Make what is missing of a data set in the folder `out`.

    `source` says where the orders come from, for the description. `retry_failed` tries pictures again that
    failed before. `on_done` is told about each picture as it is finished, `on_progress` (pictures done, in
    all). Raises InputError when the folder holds something else or a data set that was built in another way,
    StorageError when a file cannot be written: what is there stays, and the same call continues.
    """
    from scenewright.flows.dataset.work import attempt

    described = describe(tools, wanted, source)
    check_place(out, described)
    if retry_failed and (out / JOURNAL).is_file():
        forget(out / JOURNAL, ("failed",))
    with Journal(out / JOURNAL) as journal:
        begin(out, described, bool(journal.entries))
        work = todo(wanted, journal.entries, tools.options.batch)
        total, before, fresh = sum(len(members) for members in work), 0, 0
        for members in work:
            tell = stepwise(on_progress, before, len(members), total)
            results = attempt(tools, [wanted[k] for k in members], tell)
            for k, result in zip(members, results, strict=True):
                if wanted[k].name not in journal.entries:  # else made again for its batch's sake
                    entry = _keep(wanted[k], result, out)
                    journal.append(entry)
                    fresh += 1
                    if on_done:
                        on_done(entry)
            before += len(members)
        return Built(out, tuple(journal.entries.values()), fresh)


def todo(wanted: Sequence[Order], done: Mapping[str, Entry], size: int) -> list[tuple[int, ...]]:
    """The batches with a picture that is not in the journal yet: whole ones, as any run makes them."""
    every = batches([one.job.scene for one in wanted], size)
    return [members for members in every if any(wanted[k].name not in done for k in members)]


def check_place(out: Path, described: Mapping[str, Any]) -> None:
    """Raises InputError unless `out` is new or empty, or holds a data set of just this description."""
    if not out.is_dir():
        return
    if not (out / DESCRIPTION).is_file():
        _check_empty(out)
        return
    found = Dataset.open(out).description
    if other := differences(found, described):
        raise InputError(
            f"{out} holds a data set that was built in another way: {'; '.join(other[:4])}", ELSEWHERE
        )


def begin(out: Path, described: Mapping[str, Any], begun: bool) -> None:
    """Sweep up after a kill, and write the description if nothing has `begun` yet.

    Raises InputError when pictures are there, but no description that says how they were made.
    """
    sweep(out)
    if not (out / DESCRIPTION).is_file():
        if begun:
            raise InputError(f"{out / DESCRIPTION} is missing beside a journal with pictures", ELSEWHERE)
        atomic_write(out / DESCRIPTION, description_bytes(described))


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Where two descriptions differ: "model.steps 20, now 5"; versions of programs are not compared."""
    old, new = _flat(found), _flat(expected)
    changed = [key for key in {**new, **old} if old.get(key) != new.get(key)]
    known = [key for key in changed if key != "source.digest"] or changed
    return [f"{key} {_short(old.get(key))}, now {_short(new.get(key))}" for key in known]


def _keep(order: Order, result: Any, out: Path) -> Entry:
    """Write the files of a picture that is kept; returns its line for the journal.

    Files of that name that another outcome left before a kill are removed.
    """
    from scenewright.flows.dataset.work import Failed

    if isinstance(result, Failed) or result.reasons:
        for name in files_of(order.name):
            (out / name).unlink(missing_ok=True)
        if isinstance(result, Failed):
            return Entry(
                name=order.name,
                state="failed",
                classes=order.classes,
                error=result.error,
                hint=result.hint,
            )
        return Entry(name=order.name, state="refused", classes=order.classes, reasons=result.reasons)
    contents = file_contents(result, out, order.name)
    atomic_write_all(contents)
    return Entry(name=order.name, state="kept", classes=order.classes, files=checksums(contents))


def file_contents(made: Made, out: Path, name: str) -> dict[Path, bytes]:
    """The files of a picture; its PNG is the last to appear, so that it stands for all of them."""
    from scenewright.data.latents import LATENT_SUFFIX

    whole = made.record.files(out, name)
    scene, png = out / f"{name}{SCENE_SUFFIX}", out / f"{name}.png"
    latent = {} if made.latent is None else {out / f"{name}{LATENT_SUFFIX}": made.latent.to_bytes()}
    return {**latent, scene: whole[scene], png: whole[png]}


def checksums(contents: Mapping[Path, bytes]) -> dict[str, str]:
    """File name -> sha256 in hex."""
    return {path.name: hashlib.sha256(content).hexdigest() for path, content in contents.items()}


def _check_empty(out: Path) -> None:
    from scenewright.flows.dataset.folder import TEMPORARY

    foreign = sorted(
        path.name for path in out.iterdir() if not is_ours(path.name) and not TEMPORARY.fullmatch(path.name)
    )
    if foreign:
        raise InputError(
            f"{out} is not empty and holds no data set: there is {foreign[0]}",
            "choose an empty or a new folder",
        )


def _flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested keys with dots; what two builds may differ in is left out."""
    found: dict[str, Any] = {}
    for key, one in value.items():
        if before == "" and key == "versions":
            continue
        if isinstance(one, Mapping):
            found.update(_flat(one, f"{before}{key}."))
        else:
            found[f"{before}{key}"] = one
    return found


def _short(value: Any) -> str:
    return "none" if value is None else str(value)
