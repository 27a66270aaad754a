"""Which options need which others: for every command that has such, what would be ignored is refused.

`context` is that of the command: values by the names of its parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scenewright.cli.given import named, refuse

if TYPE_CHECKING:
    import typer

    from scenewright.flows.options import GenerateOptions

OF_MASKS = ("classes", "head", "ground_rule", "ground_threshold", "cutouts", "compare_detector")
"""Options of ``generate --ground``."""

OF_MAPS = ("weather", "template", "crop", "temperature", "doubtful")
"""Options of data sets of label maps."""

OF_SCENES = (
    "classes", "grammar", "split", "per_picture", "fmt", "count", "verifier", "policy", "least_score",
    "most_area",
)  # fmt: skip
"""Options of data sets of scenes or classes, and about what is found in their pictures."""

OF_SEGMENTING = ("model", "segmenter", "threshold", "size", "tile", "batch", "device", "dtype")
"""Options of ``evaluate ovss`` about how pictures are segmented."""


def generate(context: typer.Context, options: GenerateOptions) -> None:
    """Raises InputError. What a change to a picture makes senseless is for `editing.change_asked`."""
    from scenewright.flows.options import check_given

    asked = context.params
    if not asked["ground"]:
        refuse(context, OF_MASKS, "without --ground", "add --ground for masks")
    if asked["start"] is not None:
        return  # what the picture was made with counts too: `flows.edit`
    if not asked["vocabulary"]:
        refuse(context, ("crop",), "without label maps", "--vocabulary cityscapes LIST.json")
    elif not any(str(path).lower().endswith(".json") for path in asked["scenes"] or ()):
        refuse(context, ("crop",), "with label maps alone, which are drawn whole,", "name a generation list")
    if asked["vocabulary"] or not asked["scenes"]:
        refuse(context, ("fmt",), "without scene files")
    check_given(options, named(context))


def segment(context: typer.Context) -> None:
    """Raises InputError."""
    asked = context.params
    if asked["refine"] is None:
        refuse(context, ("refine_steps", "refine_strength"), "without --refine", "add --refine FOLDER")
    if not asked["tile"]:
        refuse(context, ("overlap",), "without --tile", "--tile 1000 shows large pictures in windows")
    if asked["background"] != "threshold":
        refuse(context, ("threshold",), "without --background threshold", "add that")


def mask_denoiser(context: typer.Context, model: Path) -> None:
    """Raises InputError; `model` is the folder."""
    if context.params["members"] == 1:
        refuse(context, ("align", "reduce"), "with --members 1", "--members 10 draws several")
    if not model.is_dir():
        return
    from scenewright.models.mask_denoiser import rules_of

    if (model / "model_index.json").is_file():
        refuse(context, ("base",), f"with {model}, a whole model,")
    if (text := rules_of(model).text) != "class":
        refuse(context, ("threshold",), f"with {model}, which draws grey maps,")
    if text == "none":
        refuse(context, ("classes", "vocabulary"), f"with {model}, which is asked for no classes,")


def dataset_build(context: typer.Context, options: GenerateOptions) -> None:
    """Raises InputError."""
    from scenewright.flows.options import check_given

    asked = context.params
    if asked["scenes"] and asked["vocabulary"]:
        _of_maps(context)
    else:
        refuse(context, OF_MAPS, "without label maps", "MAPS --vocabulary cityscapes draws them")
        if asked["scenes"]:
            refuse(context, ("split", "per_picture", "total"), "with scene files", "--count tells how many")
        else:
            refuse(context, ("fmt", "count"), "without scene files")
            if not asked["grammar"]:
                refuse(context, ("split",), "without --grammar", "--grammar seen draws its classes")
        if asked["verifier"] == "none":
            refuse(context, ("least_agreement",), "with --verifier none", "name a verifier")
    if asked["dry_run"]:
        refuse(context, ("retry_failed",), "with --dry-run, which writes nothing,")
    check_given(options, named(context))


def _of_maps(context: typer.Context) -> None:
    asked = context.params
    refuse(context, OF_SCENES, "with label maps, which say what is in their pictures,")
    if not asked["labeller"]:
        words = "--labeller FOLDER names a segmenter that judges pictures"
        refuse(context, ("doubtful", "least_agreement"), "without --labeller", words)
    if asked["weather"] == "none":
        refuse(context, ("template",), "without --weather", "--weather even puts words into prompts")
    if not any(Path(place).is_dir() for place in asked["scenes"]):
        refuse(context, ("temperature",), "without a folder of label maps", "name the folder")


def evaluate_semantic(context: typer.Context) -> None:
    """Raises InputError."""
    asked = context.params
    if not asked["segmenter"]:
        names = ("vocabulary", "window", "stride", "size", "split", "count")
        refuse(context, names, "without --segmenter", "--segmenter FOLDER measures one on datasets")
        return
    refuse(context, ("reference", "judge"), "with --segmenter, which is measured by labels,")
    if not asked["window"]:
        refuse(context, ("stride",), "without --window", "--window 512 reads pictures in windows")


def evaluate_instances(context: typer.Context) -> None:
    """Raises InputError."""
    asked = context.params
    if not asked["protocol"]:
        names = ("captions", "pictures", "model", "steps", "size", "count", "batch", "dtype")
        refuse(context, names, "without --protocol", "--protocol box draws and scores pictures of COCO")
    elif asked["pictures"] is not None:
        refuse(context, ("model", "steps", "batch", "dtype"), "with --pictures, which are there already,")


def evaluate_ovss(context: typer.Context, rule: str) -> None:
    """Raises InputError; `rule` is the protocol's for the background."""
    if context.params["maps"] is not None:
        refuse(context, OF_SEGMENTING, "with --maps, label maps that are there already,")
    if rule != "threshold":
        refuse(context, ("threshold",), "without the rule threshold", "add --background threshold")


def reproduce_grounding(context: typer.Context) -> None:
    """Raises InputError."""
    if context.params["data"]:
        refuse(context, ("pictures",), "with --data, which is trained on in place of generated pictures,")
        if not context.params["tested"]:
            refuse(context, ("labeller", "steps", "guidance", "batch"), "with --data and --tested 0")


def train(context: typer.Context) -> None:
    """Raises InputError."""
    if context.params["listed"]:
        refuse(context, ("out", "resume"), "with --list")
        if not context.params["recipe"]:
            refuse(context, ("settings",), "without a recipe", "scenewright train RECIPE --list")
