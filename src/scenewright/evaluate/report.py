"""Results: figures with intervals, their ceilings, and everything that says what they are figures of.

A report is JSON (``results.json``) that can be compared with another: both keep the values of every bootstrap
resample, and as equal samples are resampled equally, differences have paired intervals. Reports of other
samples, judges or protocols are refused: their difference would mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Estimate
from scenewright.evaluate.protocol import PROTOCOLS, Protocol
from scenewright.scene.files import atomic_write, read_json, to_json_bytes

REPORT_VERSION = 1
"""The version of the results files that this package writes."""

DIGITS = 6
"""Values are written with this many significant digits."""

Figures = Mapping[str, Estimate]
"""Metric name -> value with its interval."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Figures of a part of the pictures or instances; `pictures` and `instances` count what is in it."""

    pictures: int
    instances: int
    figures: Figures


@dataclass(frozen=True, kw_only=True)
class Report:
    """One evaluation.

    protocol    id of the protocol, "layout-1"
    judges      kind of judge -> its identity, "detector@1f0c9a52"
    source      name of the folder or file that was judged, without its place
    sample_set  which frozen set the samples are of, "" if of none
    samples     sha256, in hex, of what was asked for
    pictures    number of pictures
    instances   number of instances that could be named in the judge's words
    unnamed     phrases that could not, and how often: neither right nor wrong
    seed, resamples   of the bootstrap over pictures
    figures     metric name -> estimate, in the protocol's order
    ceilings    "judge": metrics that the judges' files name, measured on held-out renders; "judge_file": all
                that these files name; "reference": the metrics on the reference folder, if one was given
    reference   name of the reference folder and its number of pictures, or empty
    groups      by what ("instances", "size", …) -> which ("3", "small", …) -> figures
    group_ceilings  by what -> which -> metric name -> the reference's figure
    items       per picture: name, key and some figures, in the order of the resampling
    replicates  metric name -> value in every resample (None where nothing was to be measured)
    notes       sentences that a reader of the figures must know
    """

    protocol: str
    judges: Mapping[str, str]
    source: str
    sample_set: str
    samples: str
    pictures: int
    instances: int
    unnamed: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    resamples: int = 0
    figures: Figures = field(default_factory=dict)
    ceilings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reference: str = ""
    groups: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)
    group_ceilings: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)
    items: Sequence[Mapping[str, Any]] = ()
    replicates: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def ceiling(self, metric: str) -> float | None:
        """The best to be expected of a metric: the reference's figure, else the judge's own, else None."""
        for name in ("reference", "judge"):
            if (found := self.ceilings.get(name, {}).get(metric)) is not None:
                return found
        return None

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "report_version": REPORT_VERSION,
            "protocol": self.protocol,
            "judges": dict(self.judges),
            "source": self.source,
            "sample_set": self.sample_set,
            "samples": self.samples,
            "pictures": self.pictures,
            "instances": self.instances,
            "unnamed": dict(self.unnamed),
            "bootstrap": {"seed": self.seed, "resamples": self.resamples},
            "figures": _figures_json(self.figures),
            "ceilings": {
                name: {key: _rounded(value) for key, value in one.items()}
                for name, one in self.ceilings.items()
            },
            "reference": self.reference,
            "groups": {
                name: {key: _group_json(one) for key, one in group.items()}
                for name, group in self.groups.items()
            },
            "group_ceilings": {
                name: {key: {m: _rounded(v) for m, v in one.items()} for key, one in group.items()}
                for name, group in self.group_ceilings.items()
            },
            "items": [dict(one) for one in self.items],
            "replicates": {
                name: [_rounded(value) for value in values] for name, values in self.replicates.items()
            },
            "notes": list(self.notes),
        }

    def summary(self) -> dict[str, Any]:
        """As `to_json`, without what is there for comparing: items and replicates."""
        return {key: value for key, value in self.to_json().items() if key not in ("items", "replicates")}

    @classmethod
    def from_json(cls, document: Any, name: str = "the file") -> Report:
        """From a parsed document; `name` is how messages call it. Raises InputError if it is no report."""
        if not isinstance(document, dict) or "report_version" not in document:
            raise InputError(f"{name} holds no results", "`scenewright evaluate` writes results.json")
        if document["report_version"] != REPORT_VERSION:
            raise InputError(
                f"{name} is of version {document['report_version']!r}; this program reads {REPORT_VERSION}",
                "evaluate again: stored findings are used as they are",
            )
        try:
            return _report(document)
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise InputError(
                f"{name} is damaged: {type(fault).__name__} {fault}", "evaluate again to renew it"
            ) from fault

    def write(self, path: Path | str) -> Path:
        """Write it, whole or not at all. Raises StorageError."""
        return atomic_write(path, to_json_bytes(self.to_json()))

    @classmethod
    def read(cls, path: Path | str) -> Report:
        """From a file. Raises StorageError (missing), InputError (no report)."""
        return cls.from_json(read_json(path), str(path))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One metric of two reports: `ours` minus `theirs` is in [`low`, `high`] with 95 % confidence."""

    metric: str
    ours: float
    theirs: float
    low: float
    high: float

    @property
    def value(self) -> float:
        """Ours minus theirs."""
        return self.ours - self.theirs

    def to_json(self) -> dict[str, float]:
        """As a JSON object."""
        names = ("ours", "theirs", "value", "low", "high")
        return {name: float(f"{getattr(self, name):.{DIGITS}g}") for name in names}


SAME = (
    (("protocol",), "protocols", "measure both with the same benchmark and version"),
    (("samples",), "samples", "draw both from the same scenes, all of them"),
    (("judges",), "judges", "--judge chooses the judges"),
    (("pictures",), "numbers of pictures", "draw every scene equally often for both"),
    (("seed", "resamples"), "resamplings", "--seed {seed} --resamples {resamples}"),
)
"""Fields in which reports that are compared are alike: their names, what they are, what to do."""


def check_comparable(theirs: Report, **ours: Any) -> None:
    """Raises InputError unless another report has the fields of `SAME` that are known of ours already."""
    for names, what, hint in SAME:
        one = {name: ours[name] for name in names if name in ours}
        other = {name: getattr(theirs, name) for name in one}
        if one != other:
            told = [_short(value if len(names) > 1 else value[names[0]]) for value in (one, other)]
            raise InputError(
                f"cannot compare: the {what} differ: {' and '.join(told)}", hint.format_map(vars(theirs))
            )


def compare(ours: Report, theirs: Report) -> dict[str, Difference]:
    """Differences of all metrics that both reports have, with intervals of a paired bootstrap.

    Both resampled the same samples in the same order with the same random numbers, so that resample b of one
    belongs to resample b of the other. Raises InputError when protocol, judges, samples or resampling differ.
    """
    check_comparable(theirs, **{name: getattr(ours, name) for names, _, _ in SAME for name in names})
    found = {}
    for name, mine in ours.figures.items():
        its = theirs.figures.get(name)
        if its is not None and mine.value is not None and its.value is not None:
            found[name] = _difference(name, mine.value, its.value, ours, theirs)
    return found


def _difference(name: str, one: float, other: float, ours: Report, theirs: Report) -> Difference:
    values_B = _array(ours.replicates[name]) - _array(theirs.replicates[name])
    values_B = values_B[np.isfinite(values_B)]
    low, high = np.quantile(values_B, [0.025, 0.975]) if len(values_B) else (math.nan, math.nan)
    return Difference(metric=name, ours=one, theirs=other, low=float(low), high=float(high))


def protocol_of(report: Report) -> Protocol:
    """The protocol that a report was made with. InputError if this version does not know it."""
    for one in PROTOCOLS.values():
        if one.id == report.protocol:
            return one
    from scenewright.evaluate.instance_protocols import protocol_with_id
    from scenewright.evaluate.open_protocols import open_protocol_with_id

    found = protocol_with_id(report.protocol) or open_protocol_with_id(report.protocol)
    if found is not None:
        return found
    raise InputError(
        f"the results are of the protocol {report.protocol}, which this version does not measure",
        f"it knows {', '.join(one.id for one in PROTOCOLS.values())}",
    )


def _array(values: Sequence[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:16]}…" if len(text) == 64 and " " not in text else text


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def _figures_json(figures: Figures) -> dict[str, Any]:
    return {
        name: {key: _rounded(value) for key, value in one.to_json().items()} for name, one in figures.items()
    }


def _group_json(one: Group) -> dict[str, Any]:
    return {
        "pictures": one.pictures, "instances": one.instances, "figures": _figures_json(one.figures)
    }  # fmt: skip


def _estimates(value: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(one["value"], one["low"], one["high"]) for name, one in value.items()}


def _group(value: Mapping[str, Any]) -> Group:
    return Group(
        pictures=value["pictures"], instances=value["instances"], figures=_estimates(value["figures"])
    )


def _report(document: dict[str, Any]) -> Report:
    resamples = document["bootstrap"]["resamples"]
    if any(len(document["replicates"][name]) != resamples for name in document["figures"]):
        raise ValueError(f"replicates: expected {resamples} values of every figure")
    plain = ("protocol", "judges", "source", "sample_set", "samples", "pictures", "instances", "unnamed")
    more = ("ceilings", "group_ceilings", "reference", "items", "replicates", "notes")
    return Report(
        **{name: document[name] for name in (*plain, *more)},
        seed=document["bootstrap"]["seed"],
        resamples=document["bootstrap"]["resamples"],
        figures=_estimates(document["figures"]),
        groups={
            name: {key: _group(one) for key, one in group.items()}
            for name, group in document["groups"].items()
        },
    )
