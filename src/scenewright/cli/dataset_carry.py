"""``scenewright dataset split`` and ``export``: data sets into others, and into other formats."""

from __future__ import annotations

import json

from scenewright.cli import dataset_options as its
from scenewright.cli.progress import Bar


def split(
    data: its.Data,
    out: its.Out,
    val: its.Share = 0.1,
    seed: its.SplitSeed = 0,
    as_json: its.Json = False,
) -> None:
    """Write OUT/train and OUT/val so that no scene is in both; files are not copied where the disk can."""
    from scenewright.flows.dataset.folder import Dataset
    from scenewright.flows.dataset.split import split as cut
    from scenewright.flows.dataset.split import summary

    with Bar("pictures") as bar:
        found = cut(Dataset.open(data), out, val, seed, bar)
        for note in found.notes:
            bar.note(note)
    print(json.dumps(found.to_json()) if as_json else "\n".join(summary(found)))


def export(data: its.Data, out: its.Out, fmt: its.Format = "coco", as_json: its.Json = False) -> None:
    """Write the data set in another format."""
    from scenewright.flows.dataset.exports import export as carry
    from scenewright.flows.dataset.folder import Dataset

    with Bar("pictures") as bar:
        path = carry(Dataset.open(data), fmt, out, bar)
    print(json.dumps({"file": str(path)}) if as_json else path)
