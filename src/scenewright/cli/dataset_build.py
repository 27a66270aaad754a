"""``scenewright dataset build``: draw, label, filter, keep."""

from __future__ import annotations

from pathlib import Path

import typer

from scenewright.cli import dataset_options as its
from scenewright.cli import dataset_street_options as own
from scenewright.cli import options as general
from scenewright.cli import partners
from scenewright.cli.dataset_outcomes import finish, plan, tell
from scenewright.cli.progress import Bar


# fmt: off
def build(
    context: typer.Context,
    scenes: its.Scenes = [], grammar: its.Grammar = "", split: its.Split = 1,  # noqa: B006
    classes: its.Classes = [], vocabulary: its.Vocabulary = "",  # noqa: B006
    per_picture: its.PerPicture = 2, total: its.Total = None,
    fmt: general.Format = "auto", count: its.Count = 1, seed: its.Seed = None, size: its.Size = "",
    model: general.Model = "nano+gligen", steps: general.Steps = 20, guidance: general.Guidance = 4.0,
    negative: general.Negative = "", gate: general.Gate = "1", scheduler: general.Scheduler = "",
    weather: own.Weathers = "none", template: own.Template = "", crop: own.Crop = 512,
    temperature: own.Temperature = 0.01, doubtful: own.Doubtful = "ignore", control: general.Control = 1.0,
    windows: general.Windows = "", window_stride: general.WindowStride = 0.25, fusion: general.Fusion = 1,
    fusion_share: general.FusionShare = 0.11444091796875,
    batch: general.Batch = 8, device: general.Device = "auto", dtype: general.Dtype = "auto",
    overflow: general.Overflow = "error", no_layout: general.NoLayout = False,
    other_backbone: general.OtherBackbone = False,
    labeller: its.Labeller = "", verifier: its.Checker = "", policy: its.Policy = "union",
    least_score: its.Score = 0.5, least_area: its.Area = 0.002, most_area: its.MostArea = 1.0,
    least_agreement: its.Agreement = None, dry_run: its.Dry = False, retry_failed: its.Retry = False,
    out: its.Out = Path("dataset"), as_json: its.Json = False,
) -> None:
    # fmt: on
    """Draw pictures, label what is in them, keep those where everything was found. The same command again
    continues an interrupted run, and changes nothing in a finished one."""
    from scenewright.cli.dataset_asked import options_asked, scenes_asked
    from scenewright.cli.dataset_maps import maps_asked
    from scenewright.flows.dataset import request as asked
    from scenewright.flows.options import parse_size
    from scenewright.flows.produce import ModelChoice

    given = locals() | {"size_wh": parse_size(size) if size else None}
    chosen = ModelChoice(name=model, device=device, dtype=dtype, allow_other_backbone=other_backbone)
    request = maps_asked if scenes and vocabulary else scenes_asked
    options = options_asked(given)
    partners.dataset_build(context, options)
    wanted = request(given, options, chosen)
    with Bar("pictures") as bar:
        if dry_run:
            return plan(wanted, out, as_json, bar)
        built = asked.build_dataset(wanted, out, retry_failed=retry_failed, on_note=bar.note,
                                    on_done=tell, on_progress=bar)  # fmt: skip
    if code := finish(built, as_json):
        raise typer.Exit(code)
