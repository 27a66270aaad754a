"""Connected parts of a mask, found on its runs."""

from __future__ import annotations

import numpy as np

from scenewright.scene.rle import Counts


def split(starts: Counts, ends: Counts, height: int) -> list[tuple[Counts, Counts]]:
    """Spans of each connected part (8 neighbours), largest first, ties from the left.

    `starts`, `ends` are positions in column order, as `rle.spans` gives them.
    """
    starts, ends = _by_column(starts, ends, height)
    if not len(starts):
        return []
    parents = np.arange(len(starts))
    for a, b in _touching(starts, ends, height):
        parents[_root(parents, a)] = _root(parents, b)
    roots = np.array([_root(parents, k) for k in range(len(parents))])
    order = np.argsort(roots, kind="stable")
    cuts = np.flatnonzero(np.diff(roots[order])) + 1
    parts = list(zip(np.split(starts[order], cuts), np.split(ends[order], cuts), strict=True))
    return sorted(parts, key=lambda part: (-int((part[1] - part[0]).sum()), int(part[0][0])))


def _by_column(starts: Counts, ends: Counts, height: int) -> tuple[Counts, Counts]:
    """The same spans cut at the ends of columns."""
    columns = (ends - 1) // height - starts // height + 1
    owner = np.repeat(np.arange(len(starts)), columns)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(columns) - columns, columns)
    edge = (starts[owner] // height + step) * height
    return np.maximum(starts[owner], edge), np.minimum(ends[owner], edge + height)


def _touching(starts: Counts, ends: Counts, height: int) -> list[tuple[int, int]]:
    """Pairs of spans in neighbouring columns that touch by a side or a corner."""
    column, top, bottom = starts // height, starts % height, (ends - 1) % height + 1
    wide = (
        height + 2
    )  # a gap between columns, so that a span reaching past its end meets none of the next one
    key_top, key_bottom = column * wide + top, column * wide + bottom
    first = np.searchsorted(key_bottom, key_top + wide, side="left")
    last = np.searchsorted(key_top, key_bottom + wide, side="right")
    return [
        (k, other)
        for k in range(len(starts))
        for other in range(int(first[k]), int(last[k]))
        if column[other] == column[k] + 1
    ]


def _root(parents: Counts, k: int) -> int:
    """The representative of `k`; shortens the way for later questions."""
    root = k
    while parents[root] != root:
        root = int(parents[root])
    while parents[k] != root:
        parents[k], k = root, int(parents[k])
    return root
