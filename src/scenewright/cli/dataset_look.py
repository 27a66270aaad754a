"""``scenewright dataset stats``, ``view`` and ``verify``: what is in a data set, and is it whole?"""

from __future__ import annotations

import json

import typer

from scenewright.cli import dataset_options as its
from scenewright.cli.progress import Bar
from scenewright.cli.words import say


def stats(data: its.Data, charts: its.Charts = True, as_json: its.Json = False) -> None:
    """Counts, yields, balance of the classes, areas and scores; charts in DATASET/stats."""
    from scenewright.flows.dataset import stats as page
    from scenewright.flows.dataset.charts import write_charts
    from scenewright.flows.dataset.folder import Dataset

    opened = Dataset.open(data)
    with Bar("records") as bar:
        found = page.stats(opened, bar)
    paths = write_charts(found, opened) if charts else []
    if as_json:
        print(json.dumps({**found.to_json(), "charts": [str(path) for path in paths]}))
    else:
        print("\n".join([*page.lines(found), *map(str, paths)]))


def view(data: its.Data, out: its.File = None, limit: its.Limit = 200, as_json: its.Json = False) -> None:
    """One HTML file with pictures, masks and labels, to be opened in any browser."""
    from scenewright.flows.dataset.folder import Dataset
    from scenewright.flows.dataset.gallery import write_gallery

    with Bar("pictures") as bar:
        path = write_gallery(Dataset.open(data), out, limit, bar)
    print(json.dumps({"gallery": str(path)}) if as_json else path)


def verify(data: its.Data, quick: its.Quick = False, as_json: its.Json = False) -> None:
    """Checksums, missing and foreign files, records and latents that are read; exit code 1 for problems."""
    from scenewright.flows.dataset.folder import Dataset
    from scenewright.flows.dataset.verify import verify as check

    with Bar("pictures") as bar:
        found = check(Dataset.open(data), deep=not quick, on_progress=bar)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        for note in found.notes:
            say(f"note: {note}")
        for problem in found.problems:
            print(problem)
        say(f"{found.pictures} pictures, {len(found.problems)} problems")
    if found.problems:
        raise typer.Exit(1)
