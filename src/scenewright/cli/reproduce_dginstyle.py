"""``scenewright reproduce dginstyle``: generated streets teach a segmenter looks that were never labelled."""

from __future__ import annotations

import json
from pathlib import Path

from typer import Context

from scenewright.cli import dginstyle_options as its
from scenewright.cli import options as general
from scenewright.cli.dataset_street_options import Template
from scenewright.cli.progress import Phases


# fmt: off
def dginstyle(
    context: Context,
    streets: its.Streets = 2000, pictures: its.Pictures = 1000, train_steps: its.TrainSteps = 0,
    seeds: its.Seeds = 3, scenes: its.Scenes = 200, arm: its.Arms = [], mix: its.Mix = "1,1",  # noqa: B006
    weather: its.Weathers = "sunny,foggy,rainy,snowy,night", template: Template = "",
    base: its.Base = "nano", source: its.Source = "runs/out/nano-source/export/model",
    control: its.Control = "runs/out/nano-dginstyle/export/dginstyle.safetensors",
    filter_by: its.Filter = "", fusion: its.Fusion = 2, window_stride: general.WindowStride = 0.5,
    fusion_share: general.FusionShare = 0.11444091796875,
    steps: general.Steps = 20, guidance: general.Guidance = 3.0, batch: general.Batch = 8,
    resamples: its.Resamples = 1000, device: general.Device = "auto", dtype: general.Dtype = "auto",
    out: general.Out = Path("reproduce-dginstyle"), as_json: general.Json = False,
) -> None:
    # fmt: on
    """Source alone, colours changed, generated without and with the swap, with fusion, and the ceiling.

    Writes results.json, table.md, a plot and sheets. The same command again continues an interrupted run.
    """
    from scenewright.flows.dataset.weather import WeatherPolicy
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.reproduce.dginstyle import reproduce_dginstyle
    from scenewright.flows.reproduce.dginstyle_plan import TEMPLATE, StyleOptions
    from scenewright.train.recipe import parse
    from scenewright.train.street_cells import train_cell

    generate = GenerateOptions(
        steps=steps, guidance=guidance, batch=batch, window_stride=window_stride, fusion_share=fusion_share
    )
    options = StyleOptions(
        streets=streets, pictures=pictures, steps=train_steps, seeds=seeds, scenes=scenes, only=tuple(arm),
        mix=parse(mix, tuple[float, float], "--mix"), weather=WeatherPolicy.parse(weather),
        template=template or TEMPLATE, base=base, source=source, control=control, fusion=fusion,
        filter=filter_by, generate=generate, resamples=resamples, device=device, dtype=dtype,
    )  # fmt: skip
    its.refuse_idle(context, options)
    with Phases() as told:
        done = reproduce_dginstyle(options, train_cell, out, told)
    print(json.dumps(done.to_json()) if as_json else "\n".join(done.lines()))
