"""What became of a data set's pictures: the folder or JSON on stdout, failures on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenewright.cli.progress import Bar
from scenewright.cli.words import fail, say

if TYPE_CHECKING:
    from scenewright.flows.dataset.build import Built
    from scenewright.flows.dataset.journal import Entry
    from scenewright.flows.dataset.map_request import MapRequest
    from scenewright.flows.dataset.request import BuildRequest


def plan(request: BuildRequest | MapRequest, out: Path, as_json: bool, bar: Bar) -> None:
    """What building would cost, on stdout."""
    from scenewright.flows.dataset.estimate import estimate, lines
    from scenewright.flows.dataset.request import prepare

    ready = prepare(request, out)
    for note in ready.notes:
        bar.note(note)
    found = estimate(ready, out, bar)
    print(json.dumps(found.to_json()) if as_json else "\n".join(lines(found)))


def tell(one: Entry) -> None:
    """A failure as it happens."""
    if one.state == "failed":
        say(f"failed: {one.name}: {one.error}")


def finish(built: Built, as_json: bool) -> int:
    """The counts, then how many failed; returns the exit code."""
    counts = {state: built.count(state) for state in ("kept", "refused", "failed")}
    if as_json:
        print(json.dumps({"folder": str(built.folder), "new": built.fresh, **counts}))
    else:
        say(f"{counts['kept']} kept, {counts['refused']} refused, {counts['failed']} failed")
        print(built.folder)
    if not counts["failed"]:
        return 0
    words = f"{counts['failed']} of {len(built.entries)} pictures failed"
    return fail(words, f"{built.folder / 'journal.jsonl'} says why; --retry-failed tries them again", 1)
