"""What became of pictures: paths or JSON on stdout, failures on stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scenewright.cli.words import fail, say

if TYPE_CHECKING:
    from scenewright.flows.write import Outcome, Written


def tell(one: Outcome, as_json: bool) -> None:
    """One picture: its path on stdout, or its JSON; a failure on stderr."""
    if one.state == "failed":
        say(f"failed: {one.job.name}: {one.error}")
    if as_json or one.state != "failed":
        print(json.dumps(one.to_json()) if as_json else one.files.png, flush=True)


def finish(written: Written, as_json: bool) -> int:
    """Sheet and animation on stdout, the number of failures on stderr; returns the exit code."""
    if written.sheet:
        print(json.dumps({"sheet": str(written.sheet)}) if as_json else written.sheet, flush=True)
    if written.animation:
        print(json.dumps({"animation": str(written.animation)}) if as_json else written.animation, flush=True)
    if not written.failed:
        return 0
    words = f"{written.failed} of {len(written.outcomes)} pictures failed"
    return fail(words, f"{written.failures} says why", 1)
