"""DGInStyle from end to end by its commands, on tiny networks: what one writes, the next one reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_family import model_folder

from scenewright.data.street_stats import DATASET_FILE
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.reproduce.dginstyle_plan import SOURCE_SEED, TEMPLATE
from scenewright.models.adapter import read_header

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")

SHORT = ("loop.steps=1", "loop.batch_size=2", "loop.cpu=true")
SMALL = (
    "task.net.channels=8,8,16,16", "task.net.depths=1,1,1,1", "task.net.heads=1,1,2,2", "task.net.decoder=16",
    "task.checked=1", "task.class_weights=none",
)  # fmt: skip


def sets(*values: str) -> tuple[str, ...]:
    return tuple(word for value in (*SHORT, *values) for word in ("--set", value))


def test_every_step_reads_what_the_one_before_wrote(cli, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        ended = cli(*arguments)
        assert ended.code == 0, ended.err
        return ended.out

    base, town, out = model_folder(tmp_path / "base"), tmp_path / "town", tmp_path / "runs"
    town_of = ("world", "sample", "--world", "town")
    run(*town_of, "--look", "game", "--layout", "gta", "--count", 5, "--seed", SOURCE_SEED, "--out", town)
    run("dataset", "import", "gta", town)
    assert (town / DATASET_FILE).is_file()

    source = ("task.lora_rank=2", "task.check.pictures=1", "task.check.steps=1")
    images = f"task.data={town / 'images'}"
    run("train", "nano-source", *sets(f"task.backbone={base}", images, *source), "--out", out / "source")
    model = out / "source" / "export" / "model"

    places = (f"task.backbone={model}", f"task.swap={base}", f"task.data={town}")
    check = ("task.check.pictures=1", "task.check.steps=1")
    run("train", "nano-dginstyle", *sets(*places, *check), "--out", out / "control")
    control = out / "control" / "export" / "dginstyle.safetensors"
    assert read_header(control).kind == "dginstyle"

    own = (f"task.real={town}", f"task.cache={tmp_path / 'cache'}", *SMALL)
    run("train", "nano-streets", *sets(*own), "--out", out / "filter")
    segmenter = out / "filter" / "export"

    asked = ("--vocabulary", "town", "--size", "192x96", "--crop", 96, "--steps", 1, "--guidance", 1)
    build = ("dataset", "build", town, *asked, "--template", TEMPLATE)
    swapped = ("--model", f"{base}+dginstyle:{control}", "--weather", "even")
    fused = ("--fusion", 2, "--window-stride", 1, "--fusion-share", 0.05)
    run(*build, *swapped, *fused, "--total", 3, "--out", tmp_path / "streets")
    run(*build, *swapped, "--total", 1, "--labeller", segmenter, "--out", tmp_path / "filtered")
    assert Dataset.open(tmp_path / "filtered").journal[0].state in ("kept", "refused")
    plain = ("--model", f"{model}+dginstyle:{control}", "--allow-other-backbone", "--total", 1)
    plain += ("--weather", "night")
    run(*build, *plain, "--out", tmp_path / "plain")

    both = (*own, f"task.synthetic={tmp_path / 'streets'}", "task.mix=1,1", "task.colour.chance=0.5")
    run("train", "nano-streets", *sets(*both), "--out", out / "both")
    about = json.loads((out / "both" / "export" / "scenewright.json").read_text())
    assert about["notes"]["pictures"] == {"synthetic": 3, "real": 5}

    targets = []
    for k, (look, layout) in enumerate((("fog", "cityscapes"), ("night", "acdc"))):
        targets.append(tmp_path / look)
        run(*town_of, "--look", look, "--layout", layout, "--count", 2, "--seed", k, "--out", targets[-1])
    shown = run(
        "evaluate", "semantic", *targets, "--segmenter", out / "both" / "export", "--vocabulary", "town",
        "--resamples", 100, "--device", "cpu", "--json",
    )  # fmt: skip
    assert set(json.loads(shown)["sets"]) == {"fog", "night"}
