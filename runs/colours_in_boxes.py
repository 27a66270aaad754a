"""With boxes, are the asked colours where they were asked for, and how much more often than without?

Held-out toybox scenes (seeds 0, 1, 2, ...; training starts at 1 000 000), three kinds of pictures: the drawn
scene itself (the ceiling), sampled with the boxes, and sampled without them from the same prompt and seed.
The judge is `scenewright.evaluate.colour`, which knows no network. As a floor, the pictures with boxes are
also judged by the boxes of the next scene.

    python runs/colours_in_boxes.py --scenes 500 --out runs/out/colours

Pictures are kept per batch in the folder --out, so that an interrupted run continues; ``result.json`` holds
every number, ``sheet.png`` the first scenes. Shares have Wilson 95 % intervals, the ratio a percentile
bootstrap over scenes (10 000 resamples).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, ScenewrightError
from scenewright.evaluate.colour import ColourFinding, check_colours, wilson
from scenewright.scene import contact_sheet, overlay, write_png
from scenewright.train.renders import FIRST_SEED, Item
from scenewright.world import toybox
from scenewright.world.drawn import Drawn
from scenewright.world.palette import COLOURS

RESAMPLES = 10_000
KINDS = ("render", "boxes", "text", "shifted")
TITLES = {
    "render": "drawn scenes (ceiling)",
    "boxes": "with boxes",
    "text": "without boxes",
    "shifted": "with another scene's boxes (floor)",
}
Pictures = list[NDArray[np.uint8]]


def main() -> None:
    """Sample what is missing, judge everything, print and write the result."""
    options = _arguments()
    drawn = [toybox.draw(seed) for seed in range(options.scenes)]
    sampled, settings = _sampled(drawn, options)
    findings = judge(drawn, sampled)
    result = {**settings, "scenes": len(drawn), **summary(findings)}
    _write(options.out / "result.json", (json.dumps(result, indent=1) + "\n").encode())
    write_png(options.out / "sheet.png", sheet(drawn, sampled, 8))
    print(table(result))
    print(f"{options.out / 'result.json'}\n{options.out / 'sheet.png'}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano+gligen", help="base and adapter (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=500, help="number of scenes (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="sampler steps (default: %(default)s)")
    parser.add_argument("--guidance", type=float, default=4.0, help="guidance scale (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=10, help="pictures sampled together")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=Path("runs/out/colours"), help="result folder")
    options = parser.parse_args()
    if not 1 <= options.scenes <= FIRST_SEED or options.batch < 1:
        raise InputError(
            "--scenes and --batch must be at least 1", "500 scenes give intervals of a few percent"
        )
    return options


# Sampling.


def _sampled(
    drawn: Sequence[Drawn], options: argparse.Namespace
) -> tuple[dict[str, Pictures], dict[str, Any]]:
    """Pictures with and without boxes, from the folder or sampled now, and the settings they belong to."""
    from scenewright.models.load import load_bundle

    bundle = load_bundle(options.model, device=options.device, dtype="float32")
    if bundle.adapter is None:
        raise InputError(f"{options.model} has no adapter", "for example --model nano+gligen")
    settings = {
        "model": options.model,
        "backbone": bundle.backbone.fingerprint,
        "adapter": bundle.adapter_fingerprint,
        "steps": options.steps,
        "guidance": options.guidance,
        "batch": options.batch,
    }
    _same_settings(options.out, settings)
    found: dict[str, Pictures] = {"boxes": [], "text": []}
    began = time.monotonic()
    for first in range(0, len(drawn), options.batch):
        part = range(first, min(first + options.batch, len(drawn)))
        path = options.out / "batches" / f"{part.start:05d}-{part.stop - 1:05d}.npz"
        if not path.exists():
            _sample(bundle, [drawn[i] for i in part], list(part), options, path)
            minutes = (time.monotonic() - began) / 60
            print(f"{part.stop} of {len(drawn)} scenes, {minutes:.1f} minutes", file=sys.stderr, flush=True)
        with np.load(path) as stored:
            for kind in found:
                found[kind].extend(stored[kind])
    return found, settings


def _sample(
    bundle: Any, drawn: Sequence[Drawn], seeds: list[int], options: argparse.Namespace, path: Path
) -> None:
    from io import BytesIO

    from scenewright.flows.generate import GenerateOptions, pictures

    wanted = GenerateOptions(steps=options.steps, guidance=options.guidance, batch=options.batch)
    scenes = [one.scene for one in drawn]
    stream = BytesIO()
    np.savez_compressed(
        stream,
        boxes=np.stack(pictures(bundle.backbone, bundle.adapter, scenes, seeds, wanted)),
        text=np.stack(pictures(bundle.backbone, None, scenes, seeds, wanted)),
    )
    _write(path, stream.getvalue())


def _same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse to mix pictures of two models or settings in one folder."""
    path = out / "settings.json"
    if path.exists() and json.loads(path.read_text()) != settings:
        raise InputError(f"{out} holds pictures of another model or other settings", "choose another --out")
    _write(path, json.dumps(settings).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(content)
    os.replace(hidden, path)


# Judging.


def judge(drawn: Sequence[Drawn], sampled: dict[str, Pictures]) -> dict[str, list[list[ColourFinding]]]:
    """Findings per kind, scene and instance."""
    scenes = [one.scene for one in drawn]
    pairs = {
        "render": ([one.image for one in drawn], scenes),
        "boxes": (sampled["boxes"], scenes),
        "text": (sampled["text"], scenes),
        "shifted": (sampled["boxes"], [*scenes[1:], *scenes[:1]]),
    }
    return {
        kind: [check_colours(image, scene, COLOURS) for image, scene in zip(images, asked, strict=True)]
        for kind, (images, asked) in pairs.items()
    }


def summary(findings: dict[str, list[list[ColourFinding]]]) -> dict[str, Any]:
    """Shares with intervals, mean IoU, the ratio, and the same by number of instances in the scene."""
    counts = [len(one) for one in findings["render"]]
    groups = {}
    for number in sorted(set(counts) - {0}):
        chosen = [i for i, count in enumerate(counts) if count == number]
        groups[str(number)] = _shares({kind: [findings[kind][i] for i in chosen] for kind in KINDS[:3]})
    return {**_shares(findings), "by_instances": groups}


def _shares(findings: dict[str, list[list[ColourFinding]]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for kind, scenes in findings.items():
        flat = [one for scene in scenes for one in scene]
        hits = sum(one.found for one in flat)
        result[kind] = {
            "boxes": len(flat),
            "found": hits,
            "share": hits / max(1, len(flat)),
            "interval": wilson(hits, len(flat)),
            "iou": float(np.mean([one.iou for one in flat])) if flat else 0.0,
        }
    per_scene = {
        kind: np.array([sum(o.found for o in s) for s in findings[kind]]) for kind in ("boxes", "text")
    }
    result["ratio"], result["ratio_interval"] = ratio(per_scene["boxes"], per_scene["text"])
    return result


def ratio(
    with_N: NDArray[np.int64], without_N: NDArray[np.int64], seed: int = 0
) -> tuple[float | None, tuple[float | None, float | None]]:
    """Found boxes with over without, with a 95 % percentile bootstrap over scenes; None is infinite."""
    rng = np.random.default_rng(seed)
    index = rng.integers(len(with_N), size=(RESAMPLES, len(with_N)))
    above, below = with_N[index].sum(1), without_N[index].sum(1)
    ratios = np.where(below > 0, above / np.maximum(below, 1), np.inf)
    low, high = np.quantile(ratios, [0.025, 0.975], method="inverted_cdf")
    value = with_N.sum() / without_N.sum() if without_N.sum() else np.inf
    a, b, c = (float(x) if np.isfinite(x) else None for x in (value, low, high))
    return a, (b, c)


# Showing.


def table(result: dict[str, Any]) -> str:
    """The numbers as text."""
    lines = [
        f"{result['model']}: {result['scenes']} held-out scenes, {result['steps']} steps, "
        f"guidance {result['guidance']:g}",
        f"{'':36}{'boxes':>7}{'found':>8}  {'95 %':16}{'IoU':>6}",
    ]
    for kind in KINDS:
        one = result[kind]
        low, high = one["interval"]
        span = f"{low:.1%} to {high:.1%}"
        lines.append(f"{TITLES[kind]:36}{one['boxes']:7d}{one['share']:8.1%}  {span:16}{one['iou']:6.2f}")
    low, high = map(_times, result["ratio_interval"])
    if result["boxes"]["found"]:
        lines.append(f"with over without: {_times(result['ratio'])} (95 %: {low} to {high})")
    for number, group in result["by_instances"].items():
        shares = [f"{title} {group[kind]['share']:.1%}" for kind, title in list(TITLES.items())[:3]]
        lines.append(f"  {number} asked: {group['boxes']['boxes']} boxes, {', '.join(shares)}")
    return "\n".join(lines)


def _times(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.2f}"


def sheet(drawn: Sequence[Drawn], sampled: dict[str, Pictures], shown: int) -> NDArray[np.uint8]:
    """The first scenes: drawn, with boxes, without; the asked boxes in all three."""
    rows: Pictures = []
    captions = []
    for kind in KINDS[:3]:
        for k, one in enumerate(drawn[:shown]):
            image = one.image if kind == "render" else sampled[kind][k]
            rows.append(overlay(image, Item.of(one.scene).scene(one.scene.size_wh), size_px=256))
            captions.append(TITLES[kind] if kind != "render" else one.scene.prompt)
    return contact_sheet(rows, captions, columns=min(shown, len(drawn)))


if __name__ == "__main__":
    try:
        main()
    except ScenewrightError as error:
        print(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), file=sys.stderr)
        raise SystemExit(2) from None
