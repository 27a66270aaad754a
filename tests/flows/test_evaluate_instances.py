"""InstanceDiffusion's evaluations on a small COCO: by a judge that sees everything, by tiny real classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from coco_files import boxer, clip, data_set, segmenter

from scenewright.backbone.load import save_folder
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.data import coco
from scenewright.errors import InputError, ModelError
from scenewright.evaluate.findings import Finding, Findings
from scenewright.evaluate.instance_protocols import INSTANCE_PROTOCOLS, instance_protocol
from scenewright.flows.coco_scenes import CocoSet, read_set, variations
from scenewright.flows.evaluate_instances import InstanceOptions, InstancesEvaluated, evaluate_instances
from scenewright.flows.judging import JudgeCard
from scenewright.flows.produce import ModelChoice
from scenewright.flows.samples import pixels_digest
from scenewright.models.adapter import save_adapter
from scenewright.scene import Record, Vocabulary, read_image, write_png
from scenewright.scene.files import atomic_write, to_json_bytes
from scenewright.testing import tiny_backbone

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
SIDE = 64
FIRST, SECOND, THIRD = "000000000139", "000000000285", "000000000632"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    """A tiny random model with an adapter of InstanceDiffusion's kind."""
    folder = tmp_path_factory.mktemp("models")
    backbone = tiny_backbone(0)
    save_folder(backbone, folder / "tiny", torch.float32)
    config = UniFusionConfig(hidden=16, map_px=64, depths=(1, 1, 1, 1), widths=(4, 4, 8, 8))
    adapter = UniFusion.for_unet(backbone.unet, config)
    file = folder / "tiny.safetensors"
    save_adapter(file, adapter, adapter.config, "instancediffusion", backbone.fingerprint)
    return ModelChoice(name=f"{folder / 'tiny'}+instancediffusion:{file}", device="cpu")


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("judges")
    return str(segmenter(folder / "tiny-m2f")), str(clip(folder / "tiny-clip"))


def of(file: Path, word: str, tmp_path: Path, side: int = SIDE, **more) -> CocoSet:
    return read_set(file, None, instance_protocol(word), side, tmp_path, **more)


def run(file: Path, out: Path, word: str = "box", **more) -> InstancesEvaluated:
    options = {"size_px": SIDE, "resamples": 100, "device": "cpu", "out": out, "protocol": word, **more}
    return evaluate_instances(file, InstanceOptions(**options))


def all_seen(made: CocoSet, folder: Path, out: Path, miss: str = "") -> str:
    """Pictures of noise, and findings of a detector that sees what is asked for, but no class `miss`."""
    card = JudgeCard(kind="detector", id="oracle@0", labels={"classes": list(Vocabulary.load("coco").names)})
    home = out / "findings" / card.id
    atomic_write(home / "judge.json", to_json_bytes(card.to_json()))
    for k, one in enumerate(made.pictures):
        image = np.random.default_rng(k).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        write_png(folder / f"{one.name}.png", image)
        found = tuple(
            Finding(str(thing.category), 0.9, thing.location_box, thing.mask)
            for thing in (*one.scored.instances, *one.crowds)
            if thing.category != miss
        )
        extra = {"pixels": pixels_digest(image)}
        Findings(one.name, card.id, (SIDE, SIDE), found, extra).write(home)
    return card.id


# --- what is asked for ------------------------------------------------------------------------------------


def test_the_file_of_squares(file: Path, tmp_path: Path) -> None:
    made = of(file, "box", tmp_path)
    assert made.annotations == tmp_path / "annotations.json"
    document = json.loads(made.annotations.read_text())
    assert {(one["width"], one["height"]) for one in document["images"]} == {(SIDE, SIDE)}
    first = document["annotations"][0]
    assert first["id"] == 1001 and first["bbox"] == pytest.approx([10 * 64 / 96, 8, 20, 40])
    assert [row["iscrowd"] for row in document["annotations"]] == [0, 0, 0, 1, 0, 0]
    mask = coco.read(made.annotations)[0].instances[0].mask
    rows = np.arange(SIDE)
    whole = coco.read(file)[0].instances[0].mask.array()
    assert np.array_equal(mask.array(), whole[rows][:, ((rows + 0.5) * 96 / 64).astype(int)])
    again = read_set(
        made.annotations,
        file.with_name("captions_val2017.json"),
        instance_protocol("box"),
        SIDE,
        tmp_path / "b",
    )
    assert again.annotations == made.annotations and not (tmp_path / "b").exists()
    for one, other in zip(made.pictures, again.pictures, strict=True):
        assert one.scored.instances[0].mask == other.scored.instances[0].mask
        assert one.drawn.prompt == other.drawn.prompt


def test_marks_of_a_published_file_are_taken(file: Path, tmp_path: Path) -> None:
    document = json.loads(of(file, "box", tmp_path).annotations.read_text())
    document["annotations"][0] |= {"point": [16, 32], "scribble": [8, 8, 16, 16, 24, 40]}
    path = tmp_path / "square.json"
    path.write_text(json.dumps(document))
    one = of(path, "pim-scribble", tmp_path / "x").pictures[0].scored.instances[0]
    assert one.points[0].xy == (0.25, 0.5)
    assert [point.xy for point in one.scribble.points] == [(0.125, 0.125), (0.25, 0.25), (0.375, 0.625)]
    document["annotations"][0]["scribble"] = [1, 2, 3]
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="at least two points"):
        of(path, "pim-scribble", tmp_path / "x")


def test_phrases_prompts_and_attributes(file: Path, tmp_path: Path) -> None:
    first, second, _ = of(file, "box", tmp_path).pictures
    assert first.name == FIRST and first.seed == 139
    assert first.drawn.prompt == "A picture of things 0.person, cat"
    assert first.scored.prompt == "A picture of things 0."
    assert [one.phrase for one in second.drawn.instances] == ["car", "person"]
    assert [one.phrase for one in second.scored.instances] == ["car"] and len(second.crowds) == 1
    coloured = of(file, "colour", tmp_path).pictures[0].drawn
    assert [one.phrase for one in coloured.instances] == ["white person", "red cat"]  # 1001 and 1002 modulo 8
    assert coloured.prompt.endswith("white person, red cat")
    textured = of(file, "texture", tmp_path).pictures[2].drawn
    assert [one.phrase for one in textured.instances] == ["plastic cat", "fabric car"]


def test_points_and_scribbles(file: Path, tmp_path: Path) -> None:
    for one in of(file, "pim-point", tmp_path).pictures:
        for thing in one.drawn.instances:
            assert thing.points[0].xy == pytest.approx(thing.location_box.centre)
    made = of(file, "pim-scribble", tmp_path).pictures
    for one in made:
        for thing in one.drawn.instances:
            points = [point.xy for point in thing.scribble.points]
            far = [x * x + y * y for x, y in points]
            bits = thing.mask.array()
            assert len(points) == 20 and far == sorted(far)
            assert all(bits[int(y * SIDE), int(x * SIDE)] for x, y in points)
    again = of(file, "pim-scribble", tmp_path / "again").pictures
    assert [one.drawn for one in made] == [one.drawn for one in again]


def test_the_first_thirty_are_drawn_and_all_are_expected(file: Path, tmp_path: Path) -> None:
    document = json.loads(file.read_text())
    row = document["annotations"][0]
    document["annotations"] = [{**row, "id": 5000 + k} for k in range(40)]
    path = tmp_path / "many.json"
    path.write_text(json.dumps(document))
    one = of(path, "box", tmp_path).pictures[0]
    assert len(one.drawn.instances) == 30 and len(one.scored.instances) == 40
    assert one.drawn.prompt.count("person") == 40


def test_what_departs_is_told(file: Path, tmp_path: Path) -> None:
    assert variations(of(file, "box", tmp_path).pictures) == []
    other = data_set(tmp_path, validation=False)
    other.with_name("captions_train2017.json").unlink()
    words = variations(of(other, "box", tmp_path / "x").pictures)
    assert len(words) == 2 and "val2017" in words[0] and "captions" in words[1]


# --- figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["box", "mask", "pim-point", "pim-scribble"])
def test_a_judge_that_sees_everything(file: Path, tmp_path: Path, word: str) -> None:
    folder = tmp_path / "pictures"
    all_seen(of(file, word, tmp_path), folder, tmp_path)
    done = run(file, tmp_path, word, pictures=folder)
    figures = done.report.figures
    for name in (
        "box_ap",
        "box_ap50",
        "box_ar",
        "box_iou",
        "mask_ap",
        "mask_ap75",
        "mask_iou",
        "mask_placed",
    ):
        assert figures[name].value == pytest.approx(1.0), name
    if word.startswith("pim"):
        assert figures["pim"].value == pytest.approx(1.0)
        assert figures["pim_published"].value == pytest.approx(1.0)
    report = done.report
    assert report.protocol == f"coco-{word}-1-varied" and report.pictures == 3 and report.instances == 5
    assert any("64 pixels" in note for note in report.notes)
    assert any("1 crowds" in note for note in report.notes)
    assert done.results == tmp_path / f"coco-{word}" / "results.json"
    assert done.sheet is not None and read_image(done.sheet).size and read_image(done.plot).size
    assert json.dumps(done.to_json()) and any("coco-" in line for line in done.lines())


def test_what_is_missing_counts_as_zero(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    all_seen(of(file, "pim-point", tmp_path), folder, tmp_path, miss="cat")
    figures = run(file, tmp_path, "pim-point", pictures=folder).report.figures
    assert figures["pim"].value == pytest.approx(3 / 5) and figures["mask_iou"].value == pytest.approx(3 / 5)
    assert figures["pim_published"].value == pytest.approx(1.0)


def test_published_figures_stand_beside_those_of_the_same_protocol(file: Path, tmp_path: Path) -> None:
    """Pictures of 512 pixels from others, whose making is not known."""
    folder, out = tmp_path / "pictures", tmp_path / "out"
    made = of(file, "box", out, 512)
    for k, one in enumerate(made.pictures):
        image = np.random.default_rng(k).integers(0, 255, (512, 512, 3), np.uint8)
        write_png(folder / f"{one.name}.png", image)
        found = tuple(Finding(str(t.category), 0.9, t.location_box, t.mask) for t in one.scored.instances)
        card = JudgeCard(kind="detector", id="oracle@0", labels={"classes": ["person", "cat", "car"]})
        home = out / "findings" / card.id
        atomic_write(home / "judge.json", to_json_bytes(card.to_json()))
        Findings(one.name, card.id, (512, 512), found, {"pixels": pixels_digest(image)}).write(home)
    done = run(file, out, size_px=0, pictures=folder, beside="paper")
    assert done.report.protocol == "coco-box-1"
    assert [one.difference for one in done.beside] == pytest.approx([1 - 0.388, 1 - 0.554, 1 - 0.529])
    assert any("38.8 %" in line for line in done.lines()) and "beside" in done.to_json()
    with pytest.raises(InputError, match=r"coco-box-1; --size makes it coco-box-1-varied"):
        run(file, out, pictures=folder, beside="paper")
    other = data_set(tmp_path, validation=False)
    with pytest.raises(InputError, match="no figures for the protocol coco-box-1-varied") as caught:
        run(other, out, size_px=0, pictures=folder, beside="paper")
    assert "not those of COCO val2017" in caught.value.hint


# --- real classes -----------------------------------------------------------------------------------------


def test_drawn_judged_and_taken_up_again(file: Path, model: ModelChoice, judges, tmp_path: Path) -> None:
    """Colours, with a segmenter and a CLIP of transformers; then the same once more, from what is there."""
    done = run(file, tmp_path, "colour", model=model, judges=judges, steps=4, count=2)
    report = done.report
    assert report.pictures == 2 and report.protocol == "coco-colour-1-varied"
    assert report.judges["detector"].startswith("tiny-m2f@") and report.judges["clip"].startswith(
        "tiny-clip@"
    )
    assert {"accuracy", "clip_local", "clip_score", "box_ap50", "mask_ap50"} <= set(report.figures)
    record = Record.load(tmp_path / "pictures" / f"{FIRST}.png")
    made = record.provenance
    assert (made["mis"], made["guidance"], made["use"], made["seed"]) == (0.36, 7.5, "published-box", 139)
    assert made["negative"].startswith("cartoon style") and record.image.shape == (SIDE, SIDE, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.findings.json")}
    png = (tmp_path / "pictures" / f"{FIRST}.png").stat().st_mtime_ns
    (tmp_path / "pictures" / f"{SECOND}.png").unlink()
    again = run(file, tmp_path, "colour", model=model, judges=judges, steps=4, count=2)
    assert again.report.to_json() == report.to_json()
    assert (tmp_path / "pictures" / f"{FIRST}.png").stat().st_mtime_ns == png
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.findings.json")} == before
    stored = run(file, tmp_path, "colour", pictures=tmp_path / "pictures", count=2)
    assert stored.report.figures == report.figures
    assert stored.report.judges == report.judges


def test_attributes_against_the_network_itself(file: Path, judges, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, CLIPModel

    folder = tmp_path / "pictures"
    made = of(file, "colour", tmp_path)
    all_seen(made, folder, tmp_path)
    report = run(file, tmp_path, "colour", pictures=folder, judges=("oracle@0", judges[1])).report
    net, words = CLIPModel.from_pretrained(judges[1]).eval(), AutoTokenizer.from_pretrained(judges[1])

    def vectors(pooled, head):
        return torch.nn.functional.normalize(head(pooled), dim=-1)

    def texts(lines):
        given = words(lines, padding=True, return_tensors="pt")
        return vectors(net.text_model(**given).pooler_output, net.text_projection)

    from scenewright.models.judges.foreign_clip import load_clip

    ours = load_clip(Path(judges[1]), torch.device("cpu"))
    values = instance_protocol("colour").values
    rights, cosines = [], []
    with torch.no_grad():
        prompts = texts([f"a {value} object" for value in values])
        for one in made.pictures:
            image = read_image(folder / f"{one.name}.png")
            right, near = [], []
            for thing in one.scored.instances:
                x0, y0, x1, y1 = thing.location_box.to_xyxy_px((SIDE, SIDE))
                cut = image[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
                seen = vectors(
                    net.vision_model(pixel_values=ours.prepared(cut)).pooler_output, net.visual_projection
                )
                wanted = int(thing.id.removeprefix("a")) % 8
                right.append(int((seen @ prompts.T).argmax()) == wanted)
                near.append(float((seen @ texts([thing.phrase]).T)[0, 0]))
            rights.append(np.mean(right))
            cosines.append(np.mean(near))
    assert report.figures["accuracy"].value == pytest.approx(np.mean(rights))
    assert report.figures["clip_local"].value == pytest.approx(np.mean(cosines), abs=1e-4)
    assert report.figures["accuracy_found"].value == pytest.approx(np.mean(rights))


def test_detectors_without_masks_judge_boxes(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    all_seen(of(file, "box", tmp_path), folder, tmp_path)
    judge = boxer(tmp_path / "tiny-yolos")
    report = run(file, tmp_path / "out", pictures=folder, judges=(str(judge),)).report
    assert report.figures["box_ap"].value is not None and "mask_ap" not in report.figures
    assert sum(report.unnamed.values()) == 1, "it does not know persons"


def test_photographs_are_a_ceiling_and_nothing_else(file: Path, tmp_path: Path) -> None:
    folder, photos = tmp_path / "pictures", tmp_path / "photos"
    made = of(file, "box", tmp_path)
    name = all_seen(made, folder, tmp_path)
    wide = np.zeros((64, 96, 3), np.uint8)
    for one in made.pictures:
        write_png(photos / f"{one.name}.png", wide)
    with pytest.raises(InputError, match="is it a photograph"):
        run(file, tmp_path, pictures=photos)
    all_seen(made, tmp_path / "again", tmp_path / "reference")
    for path in (tmp_path / "reference" / "findings" / name).glob("*.findings.json"):
        one = Findings.read(path)
        Findings(one.picture, one.judge, one.size_wh, one.found, {"pixels": pixels_digest(wide)}).write(
            path.parent
        )
    report = run(file, tmp_path, pictures=folder, reference=photos).report
    assert report.ceiling("box_ap") == pytest.approx(1.0) and report.reference == "photos, 3 pictures"


# --- wrong usage ------------------------------------------------------------------------------------------


def test_what_cannot_be_evaluated(file: Path, tiny_model: str, judges, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    all_seen(of(file, "box", tmp_path), folder, tmp_path)
    (folder / f"{THIRD}.png").unlink()
    with pytest.raises(InputError, match=f"1 of 3 pictures are not in .* {THIRD}"):
        run(file, tmp_path, pictures=folder)
    boxes = ModelChoice(name=tiny_model, device="cpu")
    with pytest.raises(InputError, match="reads boxes"):
        run(file, tmp_path / "a", "pim-point", model=boxes, judges=judges)
    bare = ModelChoice(name=tiny_model.partition("+")[0], device="cpu")
    with pytest.raises(InputError, match="no adapter"):
        run(file, tmp_path / "b", model=bare, judges=judges)
    with pytest.raises(ModelError, match="is not in the hub cache") as caught:
        run(file, tmp_path / "c", pictures=folder)
    assert "models pull" in caught.value.hint and "--judge" in caught.value.hint
    for wrong, words in (
        ({"protocol": "boxes"}, "no protocol"),
        ({"beside": "us"}, "beside"),
        ({"size_px": 65}, "8"),
    ):
        with pytest.raises(InputError, match=words):
            InstanceOptions(**{"protocol": "box", **wrong})
    assert len(INSTANCE_PROTOCOLS) == 6


def test_on_the_command_line(cli: Callable[..., object], file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    all_seen(of(file, "mask", tmp_path), folder, tmp_path)
    ended = cli(
        "evaluate", "instances", file, "--protocol", "mask", "--pictures", folder, "--size", SIDE,
        "--out", tmp_path, "--resamples", 100, "--device", "cpu",
    )  # fmt: skip
    assert ended.code == 0 and "coco-mask-1-varied" in ended.out and "mask AP50" in ended.out
    for arguments, words in (
        ((folder, "--beside", "paper"), "no figures for instances-1"),
        ((folder, "--count", 3), "--count was given without --protocol"),
        ((file, "--protocol", "msk"), "did you mean mask?"),
        ((file, "--protocol", "box", "--steps", 20, "--beside", "paper"), "coco-box-1-varied"),
    ):
        ended = cli("evaluate", "instances", *arguments)
        assert ended.code == 2 and words in ended.err and "hint: " in ended.err
