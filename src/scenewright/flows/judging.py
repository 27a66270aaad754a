"""Run a judge over the pictures of a folder and keep what it found, so that it is run once.

Findings of a picture are ``FOLDER/JUDGE/NAME.findings.json``, beside ``judge.json``, which says what the
judge is. They are taken as they are as long as the picture's pixels (and, for judges that are asked about a
scene, the scene) are those they were made of; where all are there, no network is loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scenewright.errors import InputError, ModelError, ScenewrightError, nearest
from scenewright.evaluate.findings import FINDINGS_SUFFIX, Findings
from scenewright.evaluate.protocol import LEAST_SCORE, Protocol
from scenewright.flows.samples import Progress, Sample
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

BATCH = 16
"""Pictures that a judge reads together; the same for every folder, so that its findings are too."""

CARD = "judge.json"
"""What a judge is, beside its findings."""


@dataclass(frozen=True, kw_only=True)
class JudgeCard:
    """A judge without its network: what is needed to score what it found.

    kind      "detector", "clip", "segmenter" or "looks"
    id        name and the first eight hex digits of its file's SHA-256
    labels    names of its outputs: "classes", "colours", "textures", …
    ceilings  its figures on held-out renders
    least     score from which a finding counts for matching
    file      where its weights are; None if only its findings are there
    foreign   whether it is one of other people, see `models.judges.foreign`
    """

    kind: str
    id: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)
    least: float = LEAST_SCORE
    file: Path | None = None
    foreign: bool = False

    def to_json(self) -> dict[str, Any]:
        """As a JSON document, without the place of its weights."""
        found = dataclasses.asdict(self)
        del found["file"], found["foreign"]
        return {**found, "labels": {key: list(names) for key, names in self.labels.items()}}

    @classmethod
    def from_json(cls, document: Any, name: str) -> JudgeCard:
        """From a parsed document. Raises InputError if it is none; `name` is how messages call it."""
        known = {one.name for one in dataclasses.fields(cls)} - {"file", "foreign"}
        if not isinstance(document, dict) or set(document) != known:
            raise InputError(f"{name} does not describe a judge", "remove it; the judge writes it again")
        return cls(**document)


@dataclass(frozen=True)
class Places:
    """Where findings are kept: written into `store`, read there and in `more`."""

    store: Path
    more: tuple[Path, ...] = ()

    @property
    def all(self) -> tuple[Path, ...]:
        """All of them, without repetition."""
        return tuple(dict.fromkeys((self.store, *self.more)))


def choose_judges(names: Sequence[str], protocol: Protocol, places: Places) -> dict[str, JudgeCard]:
    """The judges of a protocol by kind: those named, else those in the package, else those whose findings
    are stored.

    `names` are names, files, or identities of stored findings; each replaces the one of its kind. Raises
    ModelError for a judge that is not there, of a kind that the protocol does not use, or when a kind that
    it needs is missing.
    """
    wanted = (*protocol.judges, *protocol.optional)
    chosen: dict[str, JudgeCard] = {}
    for name in names:
        card = named_judge(name, places)
        if card.kind not in wanted:
            hint = f"it uses {', '.join(wanted)}"
            if card.kind in ("verifier", "labeller"):
                hint = f"a {card.kind} helps to make pictures or their labels, so it must not score them"
            raise ModelError(f"{name} is a {card.kind}; {protocol.benchmark} does not use one", hint)
        chosen[card.kind] = card
    embedded = {card.kind: card for card in _embedded()} if set(wanted) - set(chosen) else {}
    for kind in wanted:
        if kind not in chosen and (other := embedded.get(kind) or only_stored(kind, places)) is not None:
            chosen[kind] = other
    if missing := [kind for kind in protocol.judges if kind not in chosen]:
        raise ModelError(
            f"{protocol.benchmark} needs a judge of kind {missing[0]}, and there is none",
            "--judge FILE names one; `scenewright train --list` shows the recipes of judges",
        )
    return chosen


def judge_samples(
    card: JudgeCard,
    samples: Sequence[Sample],
    places: Places,
    *,
    device: str = "auto",
    on_progress: Progress | None = None,
) -> list[Findings]:
    """What the judge finds in every picture, in order; stored findings are used, others made and stored.

    `on_progress` is told (pictures read, pictures that were missing). Raises ModelError when pictures are
    missing and the judge's weights are not there, StorageError when findings cannot be written.
    """
    found = [_stored(card, sample, places) for sample in samples]
    missing = [k for k, one in enumerate(found) if one is None]
    if not missing:
        return [one for one in found if one is not None]
    judge = _load(card, len(missing), device)
    together = getattr(judge.net, "together", BATCH)
    folder = places.store / card.id
    atomic_write(folder / CARD, to_json_bytes(card.to_json(), indent=1))
    for batch in batches(samples, missing, together):
        made = _run(card, judge, [samples[k] for k in batch])
        for k, one in zip(batch, made, strict=True):
            if found[k] is None:
                one.write(folder)
                found[k] = one
        if on_progress:
            on_progress(sum(k <= batch[-1] for k in missing), len(missing))
    return [one for one in found if one is not None]


def batches(samples: Sequence[Sample], missing: Sequence[int], size: int = BATCH) -> list[list[int]]:
    """Places of the pictures that are read together: of one size, with fixed membership, so that what is
    found does not depend on what was there before; only batches with a missing picture."""
    by_size: dict[tuple[int, int], list[int]] = {}
    for k, sample in enumerate(samples):
        by_size.setdefault(sample.scene.size_wh, []).append(k)
    wanted = set(missing)
    cut = [one[k : k + size] for one in by_size.values() for k in range(0, len(one), size)]
    return sorted(batch for batch in cut if wanted & set(batch))


def _run(card: JudgeCard, judge: Any, samples: Sequence[Sample]) -> list[Findings]:
    from scenewright.flows.readings import READERS

    readings = READERS[card.kind](judge, [one.image() for one in samples], [one.scene for one in samples])
    return [
        Findings(
            picture=sample.name,
            judge=card.id,
            size_wh=sample.scene.size_wh,
            found=reading.found,
            extra={**reading.extra, **_marks(card, sample)},
        )
        for sample, reading in zip(samples, readings, strict=True)
    ]


def _marks(card: JudgeCard, sample: Sample) -> dict[str, str]:
    """What findings were made of."""
    about_scene = card.kind in ("clip", "attributes")
    return {"pixels": sample.pixels, **({"asked": sample.key} if about_scene else {})}


def _stored(card: JudgeCard, sample: Sample, places: Places) -> Findings | None:
    """Findings of just this picture by just this judge, or None."""
    for folder in places.all:
        path = folder / card.id / f"{sample.name}{FINDINGS_SUFFIX}"
        if not path.is_file():
            continue
        try:
            found = Findings.read(path)
        except ScenewrightError:
            continue  # cut off or changed by hand: it is made again
        marks = _marks(card, sample)
        if found.judge == card.id and {key: found.extra.get(key) for key in marks} == marks:
            return found
    return None


def _load(card: JudgeCard, missing: int, device: str) -> Any:
    if card.file is None:
        raise ModelError(
            f"{missing} pictures have no findings of {card.id} yet, and its weights are not there",
            "--judge FILE says where they are",
        )
    from scenewright.models.judges.store import load_judge
    from scenewright.models.load import pick_device

    kind = "clip" if card.kind == "attributes" else card.kind
    if card.foreign:
        from scenewright.models.judges.foreign import load_foreign

        return load_foreign(card.file, card.id, kind, pick_device(device))
    return load_judge(card.file, kind=kind, device=pick_device(device))


def named_judge(name: str, places: Places) -> JudgeCard:
    """A judge by name or file, or by the identity of its stored findings; also one of other people, by
    folder, hub id or ``yolo:FILE`` (`models.judges.foreign`). Raises ModelError if there is none."""
    stored = {card.id: card for card in _cards(places)}
    if name in stored and not Path(name).is_file():
        return stored[name]
    from scenewright.models.judges.foreign import foreign_judge, is_foreign

    if is_foreign(name):
        one = foreign_judge(name)
        return JudgeCard(kind=one.kind, id=one.id, labels=one.labels, file=one.place, foreign=True)
    from scenewright.models.judges.store import judge_path

    try:
        return card_of(judge_path(name))
    except ModelError as fault:
        if close := nearest(name, stored):
            fault.hint = f"{fault.hint}; findings of {close} are stored"
        raise


def card_of(file: Path) -> JudgeCard:
    """The card of a judge's file, without loading its network. Raises ModelError if it is no judge."""
    from scenewright.models.judges.store import judge_id, read_judge_header

    header = read_judge_header(file)
    least = header.notes.get("least_score", header.config.get("least_score", LEAST_SCORE))
    return JudgeCard(
        kind=header.kind,
        id=judge_id(file),
        labels=header.labels,
        ceilings={key: float(value) for key, value in header.ceilings.items()},
        least=float(least),
        file=file,
    )


def _embedded() -> list[JudgeCard]:
    from scenewright.models.judges.store import WEIGHTS

    return [card_of(file) for file in sorted(WEIGHTS.glob("*.safetensors"))]


def only_stored(kind: str, places: Places) -> JudgeCard | None:
    """The one judge of that kind whose findings are stored. ModelError if there are several."""
    found = {card.id: card for card in _cards(places) if card.kind == kind}
    if len(found) > 1:
        raise ModelError(
            f"there are findings of several judges of kind {kind}: {', '.join(sorted(found))}",
            "--judge says which of them is meant",
        )
    return next(iter(found.values()), None)


def _cards(places: Places) -> list[JudgeCard]:
    paths = [path for folder in places.all for path in sorted(folder.glob(f"*/{CARD}"))]
    return [JudgeCard.from_json(read_json(path), str(path)) for path in paths]
