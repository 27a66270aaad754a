"""Options of ``scenewright reproduce dginstyle``: their types and help, and which of them belong to what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from scenewright.cli.given import refuse

if TYPE_CHECKING:
    from scenewright.flows.reproduce.dginstyle_plan import StyleOptions

Streets = Annotated[int, Option("--streets", help="Labelled streets in the source look.")]
Pictures = Annotated[int, Option("--pictures", help="Pictures of every generated set.")]
TrainSteps = Annotated[int, Option("--train-steps", help="Of every training; 0: the recipe's.")]
Seeds = Annotated[int, Option("--seeds", help="Trainings of each arm.")]
Scenes = Annotated[int, Option("--scenes", help="Held-out streets, scored in every look.")]
Arms = Annotated[list[str], Option("--arm", help="One of the arms only; repeat for more.")]
Mix = Annotated[str, Option("--mix", help="Generated to source, in every batch.")]
Weathers = Annotated[
    str, Option("--weather", help="Of prompts: published, coin, even, or words: sunny=1,night=2.")
]
Base = Annotated[str, Option("--base", help="The model that the control is swapped to.")]
Source = Annotated[str, Option("--source", help="Folder of the model that knows the source's look.")]
Control = Annotated[str, Option("--control", help="File of the control of label maps.")]
Fusion = Annotated[int, Option("--fusion", help="How many times larger the second pass of the fusion is.")]
Filter = Annotated[
    str, Option("--filter", help="Folder of a segmenter of the source that filters the generated sets.")
]
Resamples = Annotated[int, Option("--resamples", help="Of the bootstrap over streets and seeds.")]

ORDERS = ("pictures", "mix", "weather", "template")
DRAWING = ("base", "control", "filter_by", "steps", "guidance", "batch", "dtype")
LARGER = ("fusion", "window_stride", "fusion_share")


def refuse_idle(context: Context, options: StyleOptions) -> None:
    """Raises InputError for options that no arm of `options` would use."""
    if not options.sets:
        refuse(context, ORDERS, "without arms that learn from further pictures", "--arm fusion is one")
    if not options.generated:
        refuse(context, DRAWING, "without arms of generated pictures", "--arm fusion is one")
    if "plain" not in options.sets:
        refuse(context, ("source",), "without the arm plain", "--arm plain")
    if "fusion" not in options.sets:
        refuse(context, LARGER, "without the arm fusion", "--arm fusion")
