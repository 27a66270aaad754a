"""Options of ``scenewright dataset``: their types and help, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Data = Annotated[Path, Argument(metavar="DATASET", help="Folder of a data set, or of Records.")]
Scenes = Annotated[
    list[Path],
    Argument(metavar="SCENE|MAPS", help="Scene files, in place of classes; or maps, lists, folders of maps."),
]
Grammar = Annotated[
    str, Option("--grammar", help="Classes of a split: seen, unseen, or seen_unseen for half of each.")
]
Split = Annotated[int, Option("--split", help="Number of the published class split, 1 to 3.")]
Classes = Annotated[
    list[str], Option("--classes", help="Classes to draw, with commas or repeated, in place of a split.")
]
Vocabulary = Annotated[
    str, Option("--vocabulary", help="All its classes, by name or file; of label maps in place of scenes.")
]
PerPicture = Annotated[int, Option("--per-picture", help="Classes in a picture.")]
Total = Annotated[
    int | None, Option("--total", help="Pictures that are tried; else 500, or one for each label map.")
]
Size = Annotated[str, Option("--size", help="WIDTHxHEIGHT or one number, in pixels; else the model's.")]
Seed = Annotated[int | None, Option("--seed", help="First seed, counting up; else 0, or the scenes' own.")]
Count = Annotated[int, Option("--count", help="Pictures per scene of a scene file.")]
Labeller = Annotated[
    str,
    Option(
        "--labeller",
        help="Judge, its file, or a Mask2Former, MaskFormer or DETR by folder or id; else the package's own.",
    ),
]
Checker = Annotated[
    str, Option("--verifier", help="Second opinion: a verifier, or none; else the package's own for toys.")
]
Policy = Annotated[str, Option("--policy", help="Mask of a class: union of its things, or top1, the best.")]
Score = Annotated[float, Option("--least-score", help="Score from which a thing counts, 0 to 1.")]
Area = Annotated[float, Option("--least-area", help="Share of the picture that a class takes at least.")]
MostArea = Annotated[float, Option("--most-area", help="Share that a class takes at most.")]
Agreement = Annotated[
    float | None,
    Option("--least-agreement", help="Of the second opinion, else 0.5; of maps IoU of a class, else 0.2."),
]
Dry = Annotated[bool, Option("--dry-run", help="Draw one batch, tell time and disk, write nothing.")]
Retry = Annotated[bool, Option("--retry-failed", help="Try pictures again that failed before.")]
Out = Annotated[Path, Option("--out", help="Folder to write to.")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
Charts = Annotated[bool, Option("--charts/--no-charts", help="Write charts into DATASET/stats.")]
File = Annotated[Path | None, Option("--out", help="HTML file; DATASET/gallery.html if not given.")]
Limit = Annotated[int, Option("--limit", help="Pictures that are shown, the first ones; 0 is all.")]
Quick = Annotated[bool, Option("--quick", help="Checksums only: do not read records and latents.")]
Share = Annotated[float, Option("--val", help="Share of the pictures to validate on.")]
SplitSeed = Annotated[int, Option("--seed", help="Another seed cuts in another place.")]
Format = Annotated[str, Option("--format", help="coco, or maps: label maps and pictures.")]
