"""``scenewright generate``: pictures from scenes, prompts or COCO files."""

from __future__ import annotations

from pathlib import Path

import typer

from scenewright.cli import options as its
from scenewright.cli import partners
from scenewright.cli.drawing import draw
from scenewright.cli.editing import change_asked
from scenewright.cli.grounding import asked


# fmt: off
def command(
    context: typer.Context,
    scenes: its.Scenes = [], prompt: its.Prompts = [], fmt: its.Format = "auto",  # noqa: B006
    model: its.Model = "nano+gligen",
    steps: its.Steps = 20, guidance: its.Guidance = 4.0, negative: its.Negative = "",
    gate: its.Gate = "1", scheduler: its.Scheduler = "", size: its.Size = "", seed: its.Seed = None,
    count: its.Count = 1, batch: its.Batch = 8, device: its.Device = "auto", dtype: its.Dtype = "auto",
    vocabulary: its.MapsOf = "", weather: its.Weather = "", crop: its.Crop = 512, control: its.Control = 1.0,
    windows: its.Windows = "", window_stride: its.WindowStride = 0.25, fusion: its.Fusion = 1,
    fusion_share: its.FusionShare = 0.11444091796875, mis: its.Mis = 0.0, merge: its.Merge = "mean",
    move: its.Moves = [], resize: its.Resizes = [], replace: its.Replaces = [], add: its.Adds = [],  # noqa: B006
    remove: its.Removes = [], start: its.From = None, chain: its.Chain = False, keep: its.Keep = 1.0,  # noqa: B006
    overflow: its.Overflow = "error", no_layout: its.NoLayout = False, use: its.Use = "",
    attention: its.Attention = "", missing: its.Missing = "", no_scaleu: its.NoScaleu = False,
    other_backbone: its.OtherBackbone = False,
    ground: its.Ground = False, classes: its.Classes = [], head: its.Head = "",  # noqa: B006
    ground_rule: its.GroundRule = "argmax", ground_threshold: its.GroundThreshold = 0.5,
    cutouts: its.Cutouts = False, compare_detector: its.CompareDetector = False,
    out: its.Out = Path("out"), overwrite: its.Overwrite = False, as_json: its.Json = False,
) -> None:
    # fmt: on
    """Draw scenes: for each a PNG with its record inside, a scene file and an overlay; and a contact sheet.

    --vocabulary draws maps, --ground adds masks, --from changes a picture. Called again, it goes on.
    """
    from scenewright.flows.jobs import Request
    from scenewright.flows.options import GenerateOptions, parse_gate, parse_size
    from scenewright.flows.produce import ModelChoice

    words = {"move": move, "resize": resize, "replace": replace, "add": add, "remove": remove}
    request = change_asked(context, start, words, scenes, prompt, keep, chain=chain) or Request(
        files=tuple(scenes), fmt=fmt, prompts=tuple(prompt), size_wh=parse_size(size) if size else None,
        seed=seed, count=count, vocabulary=vocabulary, weather=weather, crop_px=crop,
    )  # fmt: skip
    options = GenerateOptions(
        steps=steps, guidance=guidance, negative=negative, gate=parse_gate(gate), scheduler=scheduler,
        use=use, attention=attention, missing=missing, scaleu=not no_scaleu, layout=not no_layout, mis=mis,
        overflow=overflow, merge=merge, windows=windows, window_stride=window_stride,  # type: ignore[arg-type]
        batch=batch, control=control, fusion=fusion, fusion_share=fusion_share,
    )  # fmt: skip
    partners.generate(context, options)
    masks = asked(classes, head, ground_rule, ground_threshold, cutouts, compare_detector) if ground else None
    chosen = ModelChoice(name=model, device=device, dtype=dtype, allow_other_backbone=other_backbone)
    draw(request, keep if chain else None, chosen, options, out, masks, overwrite, as_json, context)
