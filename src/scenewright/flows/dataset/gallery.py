"""A data set as one HTML file that needs nothing else: pictures, masks, labels, and a few ways to choose.

Pictures are inside as JPEG; nothing is loaded from anywhere.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.flows.dataset.folder import GALLERY, Dataset
from scenewright.flows.map_pictures import blend, has_map
from scenewright.scene import Record, overlay
from scenewright.scene.files import atomic_write

CELL_PX = 256
"""Longer side of a picture in the gallery."""

QUALITY = 85
"""Of the JPEG pictures."""

Progress = Callable[[float, int], None]

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0;background:#f7f6f2;color:#1c1d21}
header{position:sticky;top:0;background:#fff;border-bottom:1px solid #d8d6cf;padding:.7em 1.2em;z-index:1}
h1{font-size:1.05em;margin:0 0 .3em} header label{margin-right:1.4em;white-space:nowrap}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(264px,1fr));gap:14px;padding:1.2em}
figure{margin:0;background:#fff;border:1px solid #d8d6cf;border-radius:6px;overflow:hidden}
figure img{width:100%;display:block} figcaption{padding:.5em .7em;font-size:.85em}
table{border-collapse:collapse;width:100%;margin:.3em 0} td,th{text-align:left;padding:.05em .6em .05em 0}
th{font-weight:500;color:#6a6a70} .name{color:#6a6a70;word-break:break-all} [hidden]{display:none!important}
details{padding:0 1.2em 1.2em} details li{font-size:.85em} 
body:not(.masks) .with,body.masks .without{display:none}
"""

SCRIPT = """
const cells=[...document.querySelectorAll('figure')],pick=document.getElementById('class');
const least=document.getElementById('score'),told=document.getElementById('told');
function show(){let n=0;for(const f of cells){
const ok=(!pick.value||f.dataset.classes.split('|').includes(pick.value))
&&parseFloat(f.dataset.score)>=parseFloat(least.value);f.hidden=!ok;n+=ok}
told.textContent=n+' shown, score from '+parseFloat(least.value).toFixed(2)}
pick.onchange=show;least.oninput=show;
document.getElementById('masks').onchange=e=>document.body.classList.toggle('masks',e.target.checked);
show();
"""


def write_gallery(
    data: Dataset, to: Path | None = None, limit: int = 200, on_progress: Progress | None = None
) -> Path:
    """Write the gallery of the first `limit` records (0: all) and return its path.

    `to` is the file, by default ``gallery.html`` in the data set. Raises InputError for a negative limit, and
    when nothing was kept; StorageError.
    """
    if limit < 0:
        raise InputError(f"limit is {limit}; expected a number of pictures", "0 shows all of them")
    if not data.kept:
        raise InputError(f"{data.folder} has no pictures to show", "`dataset stats` says what became of them")
    names = data.kept[: limit or None]
    cells, classes = [], set[str]()
    for done, name in enumerate(names, 1):
        record = data.record(name)
        labels = labels_of(record)
        classes |= {str(one["class"]) for one in labels}
        cells.append(_cell(name, record, labels))
        if on_progress:
            on_progress(done, len(names))
    return atomic_write(to or data.folder / GALLERY, _page(data, cells, sorted(classes)).encode())


def labels_of(record: Record) -> list[dict[str, Any]]:
    """What is said about each mask: "class", and as far as they are known "score", "area", "agreement"."""
    told = record.scores.get("labels", {})
    mapped = [{"class": name, **one} for name, one in record.scores.get("map", {}).items()]
    return mapped + [
        {"class": one.category or one.phrase, **told.get(one.id, {})}
        for one in record.scene.instances
        if one.id in record.masks
    ]


def _cell(name: str, record: Record, labels: list[dict[str, Any]]) -> str:
    drawn_HW3 = (
        blend(record)
        if has_map(record)
        else overlay(record.image, record.scene, record.masks, size_px=CELL_PX)
    )
    rows = "".join(
        f"<tr><td>{_e(one['class'])}</td>"
        + "".join(f"<td>{_number(one.get(key))}</td>" for key in ("score", "area", "agreement"))
        + "</tr>"
        for one in labels
    )
    scores = [one["score"] for one in labels if "score" in one]
    seed = record.provenance.get("seed", record.scene.seed)
    return (
        f'<figure data-classes="{_e("|".join(str(one["class"]) for one in labels))}" '
        f'data-score="{min(scores, default=1.0)}">'
        f'<img class="without" loading="lazy" alt="{_e(record.scene.prompt)}" src="{_source(record.image)}">'
        f'<img class="with" loading="lazy" alt="its masks" src="{_source(drawn_HW3)}">'
        f"<figcaption>{_e(record.scene.prompt)}"
        f"<table><tr><th>class</th><th>score</th><th>area</th><th>2nd</th></tr>{rows}</table>"
        f'<span class="name">{_e(name)}{"" if seed is None else f", seed {seed}"}</span>'
        "</figcaption></figure>"
    )


def _page(data: Dataset, cells: list[str], classes: list[str]) -> str:
    states = [(one.state, one) for one in data.journal]
    counts = {state: sum(own == state for own, _ in states) for state in ("kept", "refused", "failed")}
    title = f"{data.folder.name}: {counts['kept']} of {data.total} pictures kept"
    options = "".join(f"<option>{_e(name)}</option>" for name in classes)
    others = [
        f"<li>{_e(one.name)}: {_e('; '.join(map(str, one.reasons)) or one.error)}</li>"
        for state, one in states
        if state != "kept"
    ]
    more = (
        f"<details><summary>{counts['refused']} refused, {counts['failed']} failed</summary>"
        f"<ul>{''.join(others)}</ul></details>"
        if others
        else ""
    )
    shown = "" if len(cells) == counts["kept"] else f" The first {len(cells)} are shown."
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{_e(data.folder.name)}</title><style>{STYLE}</style></head>"
        f'<body class="masks"><header><h1>{_e(title)}.{shown}</h1>'
        f'<label>class <select id="class"><option value="">all</option>{options}</select></label>'
        '<label>least score <input id="score" type="range" min="0" max="1" step="0.01" value="0"></label>'
        '<label><input id="masks" type="checkbox" checked> masks</label><span id="told"></span></header>'
        f"<main>{''.join(cells)}</main>{more}<script>{SCRIPT}</script></body></html>\n"
    )


def _source(image_HW3: NDArray[np.uint8]) -> str:
    """A picture as the address that holds it."""
    from PIL import Image

    picture = Image.fromarray(image_HW3)
    if max(picture.size) > 2 * CELL_PX:
        picture.thumbnail((2 * CELL_PX, 2 * CELL_PX))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.3g}"


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)
