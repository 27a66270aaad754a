"""Run lengths of a mask, and their compressed text as COCO writes it.

A mask is read column by column (top to bottom, then left to right). `counts` are the lengths of the runs,
beginning with zeros: [zeros, ones, zeros, ...]; they sum to height * width.

The text form writes each count as a variable-length number, five bits per letter, least significant first,
sign extended; bit 5 says that another letter follows; letters start at "0" (48). From the fourth count on,
the difference to the count two places before is written (Lin et al. 2014, COCO mask API).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scenewright.errors import SceneError

Counts = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]

LONGEST = 12
"""Most letters of a number that are read: 60 bits."""


def from_array(mask_HW: Bits) -> Counts:
    """Canonical run lengths of a mask [H, W]."""
    flat = mask_HW.T.reshape(-1)
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    first = [0] if flat.size and flat[0] else []
    return np.diff(np.concatenate([[0], first, edges, [flat.size]])).astype(np.int64)


def to_array(counts: Counts, size_hw: tuple[int, int]) -> Bits:
    """The mask [H, W] of run lengths."""
    height, width = size_hw
    values = np.zeros(len(counts), dtype=np.bool_)
    values[1::2] = True
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def spans(counts: Counts) -> tuple[Counts, Counts]:
    """Starts and ends (exclusive) of the runs of ones, as positions in column order."""
    edges = np.cumsum(counts)
    ends = edges[1::2]
    return edges[0::2][: len(ends)], ends


def from_spans(starts: Counts, ends: Counts, total: int) -> Counts:
    """Canonical run lengths of the union of spans, in any order, overlapping or not, empty ones allowed."""
    places = np.concatenate([starts, ends])
    steps = np.concatenate([np.ones(len(starts), np.int64), -np.ones(len(ends), np.int64)])
    order = np.lexsort((-steps, places))  # at equal places openings first, so that touching spans join
    places, depth = places[order], np.cumsum(steps[order])
    before = np.concatenate([[0], depth[:-1]])
    edges = places[(depth > 0) != (before > 0)]
    pairs = edges.reshape(-1, 2)
    edges = pairs[pairs[:, 0] < pairs[:, 1]].reshape(-1)
    counts = np.diff(np.concatenate([[0], edges, [total]]))
    return (counts[:-1] if len(counts) > 1 and counts[-1] == 0 else counts).astype(np.int64)


def canonical(counts: Counts) -> Counts:
    """The same mask without runs of length zero, but for the first."""
    if len(counts) and not (counts[1:] == 0).any():
        return counts
    starts, ends = spans(counts)
    return from_spans(starts, ends, int(counts.sum()))


def to_text(counts: Counts) -> str:
    """Compressed text of run lengths."""
    values = np.array(counts, dtype=np.int64)
    values[3:] -= counts[1:-2]
    longest = max(1, int(np.abs(values).max(initial=0)).bit_length() // 5 + 1)
    shifts = 5 * np.arange(longest)
    parts = values[:, None] >> shifts  # [counts, letters]
    rest = parts >> 4  # all bits above the sign bit of this letter: 0 or -1 when nothing more follows
    more = (rest != 0) & (rest != -1)
    used = np.concatenate(
        [np.ones((len(values), 1), np.bool_), np.logical_and.accumulate(more, 1)[:, :-1]], 1
    )
    letters = (parts & 31) + 32 * more + 48
    return str(letters[used].astype(np.uint8).tobytes(), "ascii")


def from_text(text: str) -> Counts:
    """Run lengths of a compressed text. Texts that are not RLE raise `SceneError`."""
    codes = np.frombuffer(text.encode("utf-8"), dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0:
        return np.zeros(0, np.int64)
    if ((codes < 0) | (codes > 63)).any():
        raise _no_runs("letters that they do not use")
    last = (codes & 32) == 0
    if not last[-1]:
        raise _no_runs("a text that breaks off inside a number")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > LONGEST:
        raise _no_runs("a number of more than 60 bits")
    within = np.arange(codes.size) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 31) << (5 * within), starts)
    values -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _no_runs(found: str) -> SceneError:
    return SceneError(f"expected compressed COCO run lengths, got {found}", path="counts")


def shared_px(a: Counts, b: Counts) -> int:
    """Number of pixels that two masks of one size have in common."""
    edges_a, edges_b = np.cumsum(a), np.cumsum(b)
    edges = np.union1d(edges_a, edges_b)
    lengths = np.diff(np.concatenate([[0], edges]))
    middle = edges - lengths  # first pixel of each piece
    ones_a = np.searchsorted(edges_a, middle, side="right") % 2 == 1
    ones_b = np.searchsorted(edges_b, middle, side="right") % 2 == 1
    return int(lengths[ones_a & ones_b].sum())
