"""``scenewright generate``: pictures from scenes, prompts or COCO files."""

from __future__ import annotations

from pathlib import Path

import typer

from scenewright.cli import options as its
from scenewright.cli.grounding import asked
from scenewright.cli.outcomes import finish, tell
from scenewright.cli.progress import Bar


# fmt: off
def command(
    scenes: its.Scenes = [], prompt: its.Prompts = [], fmt: its.Format = "auto",  # noqa: B006
    model: its.Model = "nano+gligen",
    steps: its.Steps = 20, guidance: its.Guidance = 4.0, negative: its.Negative = "",
    gate: its.Gate = "1", scheduler: its.Scheduler = "", size: its.Size = "",
    seed: its.Seed = None, count: its.Count = 1, batch: its.Batch = 8,
    device: its.Device = "auto", dtype: its.Dtype = "auto",
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

    With --ground also masks of what is in the picture. The same command again continues an interrupted run.
    """
    from scenewright.flows.jobs import Request
    from scenewright.flows.options import GenerateOptions, parse_gate, parse_size
    from scenewright.flows.produce import ModelChoice, produce

    size_wh = parse_size(size) if size else None
    request = Request(
        files=tuple(scenes), fmt=fmt, prompts=tuple(prompt), size_wh=size_wh, seed=seed, count=count
    )
    options = GenerateOptions(
        steps=steps, guidance=guidance, negative=negative, gate=parse_gate(gate), scheduler=scheduler,
        use=use, attention=attention, missing=missing, scaleu=not no_scaleu,
        overflow=overflow, layout=not no_layout, batch=batch,  # type: ignore[arg-type]
    )  # fmt: skip
    found = asked(ground, classes, head, ground_rule, ground_threshold, cutouts, compare_detector)
    chosen = ModelChoice(name=model, device=device, dtype=dtype, allow_other_backbone=other_backbone)
    with Bar("pictures") as bar:
        written = produce(
            request, chosen, options, out, ground=found, overwrite=overwrite,
            on_note=bar.note, on_done=lambda one: tell(one, as_json), on_progress=bar,
        )  # fmt: skip
    if code := finish(written, as_json):
        raise typer.Exit(code)
