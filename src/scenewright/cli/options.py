"""Options of commands that draw pictures: their types and help, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Scenes = Annotated[list[Path], Argument(metavar="SCENE", help="Scene files, any format; PNGs.")]
Format = Annotated[str, Option("--format", help="Format of the scene files, if it cannot be told.")]
Prompts = Annotated[list[str], Option("--prompt", help="A text instead of a scene; repeat for more.")]
Model = Annotated[str, Option("--model", help="BASE or BASE+ADAPTER; `models list` shows all.")]
Steps = Annotated[int, Option("--steps", help="Sampler steps.")]
Guidance = Annotated[float, Option("--guidance", help="How strictly the prompt is followed; 1 is off.")]
Negative = Annotated[str, Option("--negative", help="What no picture should show.")]
Gate = Annotated[str, Option("--gate", help="Share of steps with layout: 0.3; or full, falling, off: 0.3,0.2,0.5.")]  # fmt: skip  # noqa: E501
Scheduler = Annotated[
    str,
    Option(
        "--scheduler", help="ddim, pndm, euler, euler-ancestral, heun, dpm++, unipc, lms; else the model's."
    ),
]
Size = Annotated[str, Option("--size", help="WIDTHxHEIGHT or one number, in pixels; else the scene's.")]
Seed = Annotated[
    int | None, Option("--seed", help="First seed, counting up; else the scene's, else its hash.")
]
Count = Annotated[int, Option("--count", help="Pictures per scene.")]
Batch = Annotated[int, Option("--batch", help="Pictures drawn together.")]
Device = Annotated[str, Option("--device", help="auto, cpu, or another device by torch's name for it.")]
Dtype = Annotated[str, Option("--dtype", help="auto, float32, bfloat16, float16.")]
Overflow = Annotated[str, Option("--overflow", help="Too many instances: error, or keep the largest.")]
Use = Annotated[
    str, Option("--use", help="box,mask,point,scribble; published-box, …; else what each instance has.")
]
Attention = Annotated[
    str, Option("--attention", help="full, masked, masked-all, legacy; else as the adapter was trained.")
]
Missing = Annotated[str, Option("--missing", help="zeros or null for marks that are not there; else as trained.")]  # fmt: skip  # noqa: E501
NoScaleu = Annotated[bool, Option("--no-scaleu", help="Leave InstanceDiffusion's ScaleU out.")]
NoLayout = Annotated[bool, Option("--no-layout", help="Follow the prompt only.")]
OtherBackbone = Annotated[bool, Option("--allow-other-backbone", help="Run an adapter on other weights.")]
Ground = Annotated[bool, Option("--ground", help="Also masks, out of the same sampling.")]
Classes = Annotated[
    list[str], Option("--classes", help="What to find; repeat, or commas. Else the scene's phrases.")
]
Head = Annotated[str, Option("--head", metavar="NAME|FILE", help="A grounding head; else the model's own.")]
GroundRule = Annotated[
    str, Option("--ground-rule", help="argmax: a pixel has one class or none; independent: any number.")
]
GroundThreshold = Annotated[
    float, Option("--ground-threshold", help="Probability from which a pixel belongs to a class.")
]
Cutouts = Annotated[bool, Option("--cutouts", help="Also every class on transparent ground.")]
CompareDetector = Annotated[
    bool, Option("--compare-detector", help="Also the masks of our detector, and the IoU with them.")
]
Mis = Annotated[
    float, Option("--mis", help="Share of the steps in which every instance has a latent of its own.")
]
Merge = Annotated[
    str, Option("--merge", help="How those meet: mean; or each within its box, or mask, over the whole.")
]
From = Annotated[Path | None, Option("--from", help="A picture drawn here (PNG), to be changed.")]
Moves = Annotated[list[str], Option("--move", help="ID:DX,DY in fractions of the canvas; with --from.")]
Resizes = Annotated[list[str], Option("--resize", help="ID:FACTOR or ID:ACROSS,DOWN; with --from.")]
Replaces = Annotated[list[str], Option("--replace", help="ID:PHRASE, another thing there; with --from.")]
Adds = Annotated[list[str], Option("--add", help="PHRASE:X0,Y0,X1,Y1 in fractions; with --from.")]
Removes = Annotated[list[str], Option("--remove", help="An instance's ID, or its phrase; with --from.")]
Chain = Annotated[bool, Option("--chain", help="The scenes are rounds of one picture, and an animation.")]
Keep = Annotated[
    float, Option("--keep", help="Share of the steps in which what is the same is kept; 0: noise only.")
]
MapsOf = Annotated[
    str, Option("--vocabulary", help="The files are label maps of it, or lists of them: cityscapes, …")
]
Weather = Annotated[str, Option("--weather", help="For maps: snowy, rainy, sunny, foggy, night.")]
Crop = Annotated[int, Option("--crop", help="Shorter side, in pixels of the map, of what a list cuts out.")]
Control = Annotated[float, Option("--control", help="How strongly a label map is followed; 1 is as trained.")]
Windows = Annotated[
    str, Option("--windows", help="uniform or tapered: a large canvas in windows of the model's size.")
]
WindowStride = Annotated[float, Option("--window-stride", help="From window to window, share of a window.")]
Fusion = Annotated[int, Option("--fusion", help="2: draw again at twice the size, large segments kept.")]
FusionShare = Annotated[
    float,
    Option("--fusion-share", help="Of the picture, above which a segment is kept: 30 000 of 512x512 px."),
]
Out = Annotated[Path, Option("--out", help="Folder for the pictures.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Draw again what is there already.")]
Json = Annotated[bool, Option("--json", help="Print JSON: one object per line.")]
