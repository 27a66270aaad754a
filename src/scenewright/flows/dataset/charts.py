"""The figures of a data set as pictures: balance of the classes, areas and scores, yields.

Colours are those of Okabe and Ito (2008). Matplotlib is imported when something is drawn, and draws without a
window.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from scenewright.flows.dataset.filters import REASONS
from scenewright.flows.dataset.folder import STATS, Dataset
from scenewright.flows.dataset.stats import Stats, quartiles
from scenewright.scene.files import atomic_write_all, to_json_bytes

KEPT_COLOUR, MEDIAN_COLOUR, LINE_COLOUR = "#0072B2", "#F0E442", "#333333"
REASON_COLOURS = dict(zip(REASONS, ("#E69F00", "#56B4E9", "#CC79A7", "#D55E00"), strict=True))
DPI = 110
MOST_CLASSES = 60
"""Classes on a chart, the most frequent ones."""


def charts(found: Stats) -> dict[str, bytes]:
    """Chart name -> PNG bytes; equal statistics give equal bytes on one machine."""
    return {"classes": _classes(found), "areas": _spread(found, "areas"), "scores": _spread(found, "scores")}


def write_charts(found: Stats, data: Dataset) -> list[Path]:
    """Write them as ``stats/NAME.png`` into the data set, with ``stats/stats.json``.

    Returns the charts' paths. Raises StorageError.
    """
    folder = data.folder / STATS
    contents = {folder / f"{name}.png": content for name, content in charts(found).items()}
    return atomic_write_all({**contents, folder / "stats.json": to_json_bytes(found.to_json(), indent=1)})[
        :-1
    ]


def _classes(found: Stats) -> bytes:
    """Horizontal bars: pictures kept of each class, and what the others were refused for."""
    shown = found.classes[:MOST_CLASSES]
    figure, axis = _figure(len(shown))
    names = [one.name for one in shown]
    axis.barh(names, [one.kept for one in shown], color=KEPT_COLOUR, label="kept")
    left = [one.kept for one in shown]
    for reason in REASONS:
        counts = [one.refused.get(reason, 0) for one in shown]
        if any(counts):
            axis.barh(names, counts, left=left, color=REASON_COLOURS[reason], label=reason)
            left = [a + b for a, b in zip(left, counts, strict=True)]
    axis.invert_yaxis()
    axis.set_xlabel("pictures")
    axis.legend(loc="lower right", fontsize=8)
    figure.suptitle(f"{found.name}: {found.kept} of {found.total} pictures kept", fontsize=10)
    return _png(figure)


def _spread(found: Stats, what: str) -> bytes:
    """Boxes from quartile to quartile with whiskers to the extremes, one for each class."""
    shown = [one for one in found.classes[:MOST_CLASSES] if getattr(one, what)]
    figure, axis = _figure(len(shown))
    for row, one in enumerate(shown):
        least, low, median, high, most = quartiles(getattr(one, what)) or [0.0] * 5
        axis.hlines(row, least, most, color=LINE_COLOUR, linewidth=1)
        axis.barh(row, high - low, left=low, height=0.6, color=KEPT_COLOUR)
        axis.vlines(median, row - 0.3, row + 0.3, color=MEDIAN_COLOUR, linewidth=2)
    axis.set_yticks(range(len(shown)), [one.name for one in shown])
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the picture" if what == "areas" else "score of the label")
    figure.suptitle(f"{found.name}: {what} of {found.kept} pictures", fontsize=10)
    return _png(figure)


def _figure(rows: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, max(2.6, 1.2 + 0.24 * rows)), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
