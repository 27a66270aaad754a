"""The reproduction of InstanceDiffusion from end to end: tiny models, a tiny detector, one that sees all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from judged_folders import TOY_LABELS, detector

from scenewright.backbone.load import load_folder
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.errors import InputError
from scenewright.evaluate.asked import Asked, AskedScene, Pair
from scenewright.evaluate.findings import Finding, Findings
from scenewright.flows.generate import GenerateOptions
from scenewright.flows.held_out import drawings, file_name
from scenewright.flows.jobs import Job
from scenewright.flows.judging import JudgeCard
from scenewright.flows.produce import ModelChoice
from scenewright.flows.reproduce.instancediffusion import arm_scene, reproduce_instancediffusion
from scenewright.flows.reproduce.instancediffusion_edits import FREE, change_of
from scenewright.flows.reproduce.instancediffusion_parts import (
    answer,
    mirrored,
    part_iou,
    subject_of,
    told,
    turned,
)
from scenewright.flows.reproduce.instancediffusion_plan import (
    ARMS,
    BY_NAME,
    METRICS,
    SET,
    InstanceReproduceOptions,
)
from scenewright.flows.reproduce.instancediffusion_results import InstanceResults
from scenewright.flows.reproduce.instancediffusion_scores import leaks
from scenewright.flows.reproduce.results import Reproduced
from scenewright.flows.samples import read_samples
from scenewright.models.adapter import save_adapter
from scenewright.scene import Box, Mask, Record, read_image
from scenewright.scene.files import atomic_write, to_json_bytes

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
HOW = GenerateOptions(steps=3, guidance=2.0, batch=4)
DRAWN = list(drawings(SET, 12))
NAMES = [file_name(SET, one) for one in DRAWN]
OWN = tuple(one.name for one in ARMS if one.name != "full")
"""The arms that are drawn: the tiny adapter's attention is full anyhow."""


@pytest.fixture(scope="module")
def models(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An adapter of InstanceDiffusion's kind, and GLIGEN's, on one tiny random backbone."""
    base = tiny_model.partition("+")[0]
    backbone = load_folder(base)
    config = UniFusionConfig(slots=30, hidden=16, map_px=64, depths=(1, 1, 1, 1), widths=(4, 4, 8, 8))
    torch.manual_seed(0)
    adapter = UniFusion.for_unet(backbone.unet, config)
    with torch.no_grad():
        for name, value in adapter.named_parameters():
            if "alpha" in name:
                value.fill_(0.7)
            elif "scaleu" in name or "scales" in name:
                value.fill_(0.2)
    file = tmp_path_factory.mktemp("adapter") / "tiny.safetensors"
    save_adapter(file, adapter, adapter.config, "instancediffusion", backbone.fingerprint)
    return f"{base}+instancediffusion:{file}", tiny_model


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector(tmp_path_factory.mktemp("judge") / "tiny.safetensors")


def run(out: Path, models: tuple[str, str], judge: object, **more: object) -> Reproduced[InstanceResults]:
    settings: dict = {
        "scenes": 3, "seeds": 1, "part_scenes": 2, "edit_scenes": 2, "generate": HOW, "resamples": 100,
        "judge": str(judge), "device": "cpu", "gligen": ModelChoice(name=models[1], device="cpu"), **more,
    }  # fmt: skip
    options = InstanceReproduceOptions(**settings)
    return reproduce_instancediffusion(options, ModelChoice(name=models[0], device="cpu"), out)


@pytest.fixture(scope="module")
def whole(models: tuple[str, str], judge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    run(out, models, judge)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written(whole: Path) -> None:
    names = {path.name for path in whole.iterdir() if path.is_file()}
    assert {"results.json", "table.md", "formats.png", "switches.png", "sheet.png", "sheet-parts.png",
            "sheet-edits.png"} == names  # fmt: skip
    for path in whole.glob("*.png"):
        assert read_image(path).size
    folders = {path.name for path in (whole / "pictures").iterdir()}
    assert folders == {
        "renders", *(f"{name}-1" for name in OWN), "parts-whole-1", "parts-parts-1", "parts-mirrored-1",
        "edit-before", "edit-after", "edit-fresh",
    }  # fmt: skip
    said = json.loads((whole / "results.json").read_text())
    assert said["reproduction"] == "instancediffusion-1" and said["sample_set"] == "toybox-1, first 3"
    assert set(said["arms"]) == {*(one.name for one in ARMS), "renders"}
    assert said["arms"]["full"]["figures"] == said["arms"]["box"]["figures"] and said["attention"] == "full"
    assert set(said["arms"]["mask"]["gains"]) == set(said["arms"]["mask"]["figures"]) <= set(METRICS)
    assert set(said["parts"]) == {"whole", "parts", "mirrored", "renders"}
    assert "turned" in said["parts"]["mirrored"]["figures"]
    assert {"kept_iou", "moved", "ground_kept", "ground_fresh", "factor"} == set(said["edits"]["figures"])
    assert (said["part_scenes"], said["edit_scenes"]) == (1, 2) and len(said["verdicts"]) == 14
    text = (whole / "table.md").read_text()
    assert (
        "Wang et al." in text and "GLIGEN, class names" in text and str(whole) not in text + json.dumps(said)
    )


def test_pictures_differ_by_the_arm_alone(whole: Path) -> None:
    made = {name: Record.load(whole / "pictures" / f"{name}-1" / f"{NAMES[0]}.png") for name in OWN}
    assert len({one.provenance["seed"] for one in made.values()}) == 1
    assert made["box"].provenance["use"] == "box,point" and made["point"].provenance["use"] == "point"
    assert made["mis"].provenance["mis"] == 0.36 and made["mis-box"].provenance["merge"] == "box"
    assert made["no-scaleu"].provenance["scaleu"] is False
    assert made["masked"].provenance["attention"] == "masked"
    assert made["gligen"].provenance["adapter"]["kind"] == "gligen"
    first = DRAWN[0].scene.instances[0]
    assert made["gligen-names"].scene.instances[0].phrase == first.category
    assert (
        made["gligen"].scene.instances[0].mask is None and made["mask"].scene.instances[0].mask == first.mask
    )
    for name in set(OWN) - {"box"}:
        assert not np.array_equal(made[name].image, made["box"].image), name


def test_a_stopped_run_continues_to_the_same_bytes(whole: Path, models: tuple[str, str], judge: Path) -> None:
    before = contents(whole)
    for name in ("results.json", f"pictures/edit-after/{NAMES[0]}.png", f"pictures/mask-1/{NAMES[1]}.png"):
        (whole / name).unlink()
    stamp = (whole / "pictures" / "box-1" / f"{NAMES[0]}.png").stat().st_mtime_ns
    run(whole, models, judge)
    assert contents(whole) == before
    assert (whole / "pictures" / "box-1" / f"{NAMES[0]}.png").stat().st_mtime_ns == stamp


def oracle(folder: Path) -> str:
    """Findings of a detector that sees in every picture what its drawing shows; in ``parts-mirrored`` the
    mirror image of every thing, in ``gligen`` nothing."""
    truths = dict(zip(NAMES, DRAWN, strict=True))
    card = JudgeCard(kind="detector", id="oracle@00000000", labels=TOY_LABELS)
    home = folder / "evaluation" / "findings" / card.id
    atomic_write(home / "judge.json", to_json_bytes(card.to_json()))
    for sample in read_samples(folder).samples:
        scene = sample.scene if folder.name.startswith("edit") else truths[sample.name].scene
        found = []
        for one in scene.instances if not folder.name.startswith("gligen") else ():
            mask = one.mask
            if folder.name.startswith("parts-mirrored"):
                x0, y0, x1, y1 = (round(side * 128) for side in one.box.xyxy)
                bits = mask.array()
                bits[y0:y1, x0:x1] = bits[y0:y1, x0:x1][:, ::-1]
                mask = Mask.from_array(bits)
            facts = {
                key: str(one.extra["toybox"][key])
                for key in ("colour", "texture")
                if one.extra["toybox"][key]
            }
            found.append(Finding(one.category, 0.9, one.box, mask, facts))
        extra = {"pixels": sample.pixels}
        Findings(sample.name, card.id, sample.scene.size_wh, tuple(found), extra).write(home)
    return card.id


def test_figures_of_a_judge_that_knows_the_answers(whole: Path, models: tuple[str, str]) -> None:
    for folder in (whole / "pictures").iterdir():
        name = oracle(folder)
    done = run(whole, models, name)
    results = done.results
    for metric in ("ap50", "mask_ap", "pim_points", "pim_scribbles", "colour", "right"):
        assert results.arms["mask"].values[metric].value == pytest.approx(1.0, abs=0.05), metric
    assert results.arms["gligen"].values["ap50"].value == 0.0
    assert results.arms["box"].values["leak"].value in (0.0, pytest.approx(float("nan"), nan_ok=True))
    assert results.parts["parts"].values["part_iou"].value == pytest.approx(1.0)
    assert results.parts["mirrored"].values["part_iou"].value == pytest.approx(1.0)
    assert results.parts["mirrored"].values["facing"].value == 1.0
    assert results.parts["mirrored"].values["turned"].value == 1.0
    assert results.parts["renders"].values["facing"].value == 1.0
    assert results.edits.values["kept_iou"].value == pytest.approx(1.0)
    assert results.edits.values["moved"].value == 1.0
    holds = {one.words.split(":")[0]: one.holds for one in results.verdicts}
    assert holds["from boxes alone, AP50 is not below that of GLIGEN's adapter with the same phrases"] is True
    assert holds["words for every box help"] is True and holds["points are followed"] is True
    assert holds["masks are followed"] is False, "no gain where both are right"
    assert holds["mirrored parts turn a thing round in at least 80 % of the cases"] is True
    lines = "\n".join(done.lines())
    assert "real renders" in lines and "table.md" in lines and "holds: " in lines


def test_only_some_arms(models: tuple[str, str], judge: Path, tmp_path: Path) -> None:
    done = run(tmp_path, models, judge, scenes=2, only=("mis",), part_scenes=0, edit_scenes=0)
    assert set(done.results.arms) == {"box", "mis", "renders"}
    assert not done.results.parts and done.results.edits is None
    assert {one.holds for one in done.results.verdicts[:3]} == {None}
    assert {path.name for path in tmp_path.glob("*.png")} == {"formats.png", "switches.png", "sheet.png"}


def test_subjects_and_their_mirror_images() -> None:
    subjects = [one for k in range(12) if (one := subject_of(NAMES[k], DRAWN[k].scene)) is not None]
    assert subjects
    for one in subjects:
        box, parts = one.truth.box, mirrored(one)
        for part, other in zip(one.truth.parts, parts, strict=True):
            assert part.box.x0 - box.x0 == pytest.approx(box.x1 - other.box.x1, abs=1e-9)
            assert (part.box.y0, part.box.y1) == (other.box.y0, other.box.y1)
        scene = DRAWN[NAMES.index(one.name)].scene
        asked = {how: told(scene, one, how) for how in ("whole", "parts", "mirrored")}
        assert not any(thing.parts for thing in asked["whole"].instances)
        assert asked["parts"].instance(one.id).parts == one.truth.parts
        assert asked["mirrored"].instance(one.id).parts == parts
        assert all(thing.mask is None and thing.box for thing in asked["parts"].instances)
        found = Finding(one.truth.category, 0.9, box, one.truth.mask)
        pair = Pair(
            AskedScene(one.name, (128, 128), (Asked(one.id, one.truth.category, box),)),
            Findings(one.name, "x", (128, 128), (found,)),
        )
        assert answer(pair, one) == found and not turned(found, one)
        assert part_iou(found, one, "parts") == pytest.approx(1.0) and part_iou(None, one, "parts") == 0.0
        assert part_iou(found, one, "mirrored") < 0.6


def test_a_thing_is_moved_to_a_free_place() -> None:
    changes = [one for k in range(12) if (one := change_of(Job(NAMES[k], DRAWN[k].scene, 1))) is not None]
    assert changes
    for one in changes:
        old, new = one.job.scene.instance(one.id), one.after.instance(one.id)
        dx, dy = (b - a for a, b in zip(old.box.centre, new.box.centre, strict=True))
        assert max(abs(dx), abs(dy)) == pytest.approx(0.25) and min(abs(dx), abs(dy)) == pytest.approx(0)
        assert new.mask.area_px == old.mask.area_px
        for other in one.after.instances:
            if other.id != one.id:
                assert other == one.job.scene.instance(other.id) and new.box.iou(other.box) <= FREE


def test_neighbours_that_lend_their_colour() -> None:
    def thing(name: str, colour: str, *corners: float) -> Asked:
        return Asked(name, "car", Box(*corners), attributes={"colour": colour})

    near, far = thing("b", "blue", 0.42, 0.0, 0.7, 0.4), thing("c", "green", 0.0, 0.7, 0.3, 1.0)
    one = thing("a", "red", 0.0, 0.0, 0.4, 0.4)
    seen = [
        Finding("car", 0.9, one.box, attributes={"colour": "blue"}),
        Finding("car", 0.9, near.box, attributes={"colour": "green"}),
        Finding("car", 0.9, far.box, attributes={"colour": "red"}),
    ]
    pair = Pair(AskedScene("p", (64, 64), (one, near, far)), Findings("p", "x", (64, 64), tuple(seen)))
    totals, counts = leaks([pair])
    assert (totals[0], counts[0]) == (1.0, 2.0), "the far one has no neighbour; wrong is not yet lent"
    same = replace(near, attributes={"colour": "red"})
    assert leaks([Pair(AskedScene("p", (64, 64), (one, same)), pair.findings)])[1][0] == 0


def test_what_the_arms_are_told() -> None:
    scene = DRAWN[0].scene
    assert arm_scene(scene, BY_NAME["mask"]).instances[0].scribble is not None
    assert not any(one.parts or one.keypoints for one in arm_scene(scene, BY_NAME["box"]).instances)
    assert [one.phrase for one in arm_scene(scene, BY_NAME["gligen"]).instances] == [
        one.phrase for one in scene.instances
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--scenes", "0"), "scenes is 0"),
        (("--part-scenes", "1001"), "toybox-1 has 1000"),
        (("--arm", "masks"), "did you mean mask?"),
        (("--judge", "nobody"), "there is no judge"),
    ],
)
def test_wrong_usage(
    cli: Callable[..., object], tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    ended = cli("reproduce", "instancediffusion", "--out", tmp_path / "out", *arguments)
    assert ended.code == 2 and words in ended.err and "hint: " in ended.err
    assert not (tmp_path / "out").exists()


def test_another_adapter_is_refused(models: tuple[str, str], judge: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no adapter of InstanceDiffusion's kind"):
        run(tmp_path, (models[1], models[1]), judge)
