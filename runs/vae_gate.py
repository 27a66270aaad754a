"""Is an autoencoder good enough to train a model on? What a judge reads from its reconstructions.

Held-out renders and their reconstructions are judged alike; class, colour and texture of the reconstructions
must each reach 97 % of what the renders reach. Exit 1 if one does not.

    python runs/vae_gate.py runs/out/nano-vae/export --out runs/out/gate
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from scenewright.backbone.parts import build_vae, fill
from scenewright.backbone.weights import read_folder
from scenewright.errors import ScenewrightError
from scenewright.evaluate.protocol import held_out
from scenewright.flows.evaluate import EvaluateOptions, evaluate
from scenewright.flows.held_out import records, write_held_out
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.train.vae import to_signal

SET = "toybox-1"
LEAST = 0.97
FIGURES = ("class", "colour", "texture")
ROWS = 16


def main() -> int:
    """Rebuild the set, judge both folders, print and write the shares of the ceiling."""
    options = _arguments()
    renders, rebuilt = options.out / "renders", options.out / "rebuilt"
    write_held_out(SET, renders, options.pictures)
    rebuild(options.vae, rebuilt, options.pictures)
    judged = evaluate("layout", rebuilt, EvaluateOptions(reference=renders))
    figures, ceilings = judged.report.figures, judged.report.ceilings["reference"]
    shares = {name: figures[name].value / ceilings[name] for name in FIGURES}
    for name, share in shares.items():
        print(f"{name:8} {figures[name].value:.3f} of {ceilings[name]:.3f}: {share:.1%}, needs {LEAST:.0%}")
    print(f"AP50     {figures['ap50'].value:.3f} of {ceilings['ap50']:.3f}; sheet {judged.sheet}")
    atomic_write(options.out / "gate.json", to_json_bytes(shares))
    return 0 if min(shares.values()) >= LEAST else 1


def rebuild(folder: Path, out: Path, count: int) -> None:
    """Encode and decode the first `count` pictures of the set (0: all) into a folder of Records."""
    path = folder / "vae"
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    vae = fill(build_vae(config), read_folder(path), torch.device("cpu"), torch.float32, where=str(path))
    one = held_out(SET)
    drawn = list(records(one, count))
    names = [f"{one.id}-{record.scene.seed}" for record in drawn]
    for start in range(0, len(drawn), ROWS):
        rows = drawn[start : start + ROWS]
        with torch.no_grad():
            signal_BCHW = to_signal(torch.stack([torch.from_numpy(record.image.copy()) for record in rows]))
            out_BCHW = vae.decode(vae.encode(signal_BCHW).latent_dist.mode()).sample
        images_BHW3 = ((out_BCHW + 1) * 127.5).clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()
        for record, image, name in zip(rows, images_BHW3, names[start : start + ROWS], strict=True):
            replace(record, image=image, provenance={"rebuilt": str(folder.name)}).save(out, name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("vae", type=Path, help="folder that holds vae/, as training exports it")
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and results")
    parser.add_argument("--pictures", type=int, default=0, help="first so many of the set; 0: all")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ScenewrightError as error:
        print(f"error: {error}", file=sys.stderr)
        print(f"hint: {error.hint}", file=sys.stderr)
        sys.exit(2)
