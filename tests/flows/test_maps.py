"""``generate MAP.png --vocabulary``: label files and generation lists to pictures, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.backbone.load import save_folder
from scenewright.condition.semantic import SemanticConfig, SemanticControl
from scenewright.errors import InputError
from scenewright.flows.jobs import Request, read, sized
from scenewright.flows.maps import KEY, read_map
from scenewright.models.adapter import save_adapter
from scenewright.scene import Record, Scene, SemanticMap, Vocabulary
from scenewright.testing import tiny_backbone

CITY = Vocabulary.load("cityscapes")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """FOLDER+dginstyle:FILE, for canvases of 64x32."""
    folder = tmp_path_factory.mktemp("models")
    backbone = tiny_backbone(0)
    save_folder(backbone, folder / "tiny", torch.float32)
    control = SemanticControl.for_unet(backbone.unet, SemanticConfig(size_wh=(64, 32)), stride=4)
    file = folder / "tiny.dginstyle.safetensors"
    save_adapter(file, control, control.config, "dginstyle", backbone.fingerprint, backbone_name="tiny")
    return f"{folder / 'tiny'}+dginstyle:{file}"


def labels(size_hw: tuple[int, int] = (60, 90)) -> np.ndarray:
    found = np.zeros(size_hw, np.uint8)
    found[:30] = 10
    found[40:44, 10:15] = 13
    found[50:, :5] = 255
    return found


@pytest.fixture
def street(tmp_path: Path) -> Path:
    path = tmp_path / "00007_labelTrainIds.png"
    Image.fromarray(labels()).save(path)
    return path


def fitted(files: list[Path], to_wh: tuple[int, int] = (64, 32), **more: object):
    request = Request(files=tuple(files), vocabulary="cityscapes", **more)  # type: ignore[arg-type]
    return [one.scene for one in sized(read(request), request, to_wh)[0]]


def test_all_ways_to_write_a_map_are_read_alike(tmp_path: Path, street: Path) -> None:
    expected = labels()
    palette = Image.fromarray(np.where(expected == 255, 19, expected).astype(np.uint8))
    palette.putpalette([0, 0, 0] * 256)
    palette.save(tmp_path / "p_labelTrainIds.png")
    codes = {entry.id: entry.code for entry in CITY}
    city = np.vectorize(lambda label: codes.get(int(label), 0))(expected).astype(np.uint8)
    Image.fromarray(city).save(tmp_path / "a_gtFine_labelIds.png")
    Image.fromarray(CITY.colours(expected, (0, 0, 0))).save(tmp_path / "a_gtFine_color.png")
    for name in ("p_labelTrainIds", "a_gtFine_labelIds", "a_gtFine_color"):
        assert np.array_equal(read_map(tmp_path / f"{name}.png", "cityscapes"), expected), name
    assert np.array_equal(read_map(street, "town"), expected)


def test_prompts_name_what_the_canvas_shows(street: Path) -> None:
    one, two = fitted([street, street])
    assert one.prompt == "road sky car" == two.prompt and one.size_wh == (64, 32)
    assert one.semantic_map is not None and set(np.unique(one.semantic_map.labels())) <= {0, 10, 13, 255}
    assert one.extra[KEY] == {"source": street.name, "crop": [0, 7, 90, 52]}
    assert fitted([street], weather="rainy")[0].prompt == (
        "A city street scene with road sky car, in rainy weather."
    )
    assert fitted([street], prompts=("a quiet town",), weather="night")[0].prompt.startswith(
        "A city street scene with a quiet town, in night"
    )
    assert [one.prompt for one in fitted([street] * 2, prompts=("a", "b"))] == ["a", "b"]
    assert fitted([street], prompts=("a foggy street with {classes}",))[0].prompt == (
        "a foggy street with road sky car"
    )
    with pytest.raises(InputError, match="3 prompts for 2 maps"):
        fitted([street] * 2, prompts=("a", "b", "c"))


def test_lists_crop_around_their_class_from_the_runs_seed(tmp_path: Path, street: Path) -> None:
    path = tmp_path / "4.json"
    rows = [{"class": "13", "class_name": "car", "file_name": f"elsewhere/{street.name}"}] * 3
    path.write_text(json.dumps(rows))
    found = fitted([path], (32, 32), crop_px=16, seed=4)
    assert len({tuple(one.extra[KEY]["crop"]) for one in found}) > 1
    for one in found:
        x0, y0, x1, y1 = one.extra[KEY]["crop"]
        assert (x1 - x0, y1 - y0) == (16, 16) and one.extra[KEY]["class"] == "car" and "car" in one.prompt
    assert found == fitted([path], (32, 32), crop_px=16, seed=4)
    whole = fitted([path], (32, 32), crop_px=512)[0].extra[KEY]["crop"]
    assert whole[3] - whole[1] == 60  # a map smaller than the window gives all it has


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"weather": "snowi"}, "unknown weather"),
        ({"vocabulary": "citiscapes"}, "no vocabulary"),
        ({"vocabulary": ""}, "a weather is put into prompts"),
        ({"crop_px": 0}, "crop_px"),
        ({"files": ()}, "no label map"),
    ],
)
def test_wrong_requests(street: Path, words: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read(Request(**{"files": (street,), "vocabulary": "cityscapes", "weather": "snowy", **words}))


def test_files_that_are_no_maps(tmp_path: Path, street: Path) -> None:
    wrong = tmp_path / "wrong.png"
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(wrong)
    with pytest.raises(InputError, match="77"):
        fitted([wrong])
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)).save(photo)
    with pytest.raises(InputError, match="colours that are no class of 'cityscapes'"):
        fitted([photo])
    scene = tmp_path / "scene.json"
    scene.write_text('{"prompt": "a car"}')
    with pytest.raises(InputError, match="neither a label map nor a generation list"):
        fitted([scene])
    never = tmp_path / "never.json"
    never.write_text(json.dumps([{"class": "16", "class_name": "train", "file_name": street.name}]))
    with pytest.raises(InputError, match="no pixel of the class"):
        fitted([never])


def test_the_command_draws_maps_with_a_grid(cli, model: str, street: Path, tmp_path: Path) -> None:
    words = ["generate", street, "--vocabulary", "cityscapes", "--model", model, "--steps", 2, "--seed", 3]
    more = ["--weather", "foggy", "--windows", "uniform", "--fusion", 2, "--out", tmp_path / "out"]
    ended = cli(*words, *more)
    assert ended.code == 0, ended.err
    record = Record.load(ended.out.splitlines()[0])
    assert Path(ended.out.splitlines()[0]).name == "00007.png"
    assert record.image.shape == (32, 64, 3) and record.scene.extra[KEY]["weather"] == "foggy"
    assert (record.provenance["fusion"], record.provenance["control"]) == (2, 1.0)
    with Image.open(tmp_path / "out" / "00007.overlay.png") as grid:
        assert grid.width > 3 * 300
    again = cli(*words, *more)
    assert again.code == 0 and again.out == ended.out
    other = cli(*words, *more, "--control", "0.5")
    assert other.code == 2 and "control 1.0, now 0.5" in other.err
    bad = cli(*words, "--weather", "windy", "--out", tmp_path / "o")
    assert bad.code == 2 and "unknown weather 'windy'" in bad.err


def test_a_model_without_label_maps_is_refused(cli, model: str, street: Path, tmp_path: Path) -> None:
    words = ["generate", street, "--vocabulary", "cityscapes", "--model", model.partition("+")[0]]
    words += ["--steps", 1, "--size", 16, "--out", tmp_path / "out"]
    ended = cli(*words)
    assert ended.code == 2 and "does not follow label maps" in ended.err and not (tmp_path / "out").exists()
    assert cli(*words, "--no-layout").code == 0


def test_maps_of_other_classes_are_refused_before_the_networks_are_read(
    cli, model: str, street: Path, tmp_path: Path
) -> None:
    base, _, adapter = model.partition("+")
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "model_index.json").write_bytes((Path(base) / "model_index.json").read_bytes())
    Image.fromarray(np.full((32, 64), 3, np.uint8)).save(tmp_path / "bird.png")
    words = ["--vocabulary", "voc", "--model", f"{empty}+{adapter}", "--out", tmp_path / "out"]
    for command in (["generate"], ["dataset", "build"]):
        ended = cli(*command, tmp_path / "bird.png", *words)
        assert ended.code == 2 and "the map is of the 21 classes of 'voc'" in ended.err
        assert "bring the map to the classes of cityscapes" in ended.err and not (tmp_path / "out").exists()
    ended = cli("generate", street, *words[2:], "--vocabulary", "cityscapes")
    assert ended.code == 2 and "config.json is missing" in ended.err


def test_what_does_not_fit_is_known_before_the_first_picture(cli, model: str, tmp_path: Path) -> None:
    found = SemanticMap.from_labels(np.full((32, 64), 3, np.uint16), "voc")
    Scene("a bird", (64, 32), semantic_map=found).write(tmp_path / "bird.json")
    Scene("a bird", (64, 32)).write(tmp_path / "plain.json")
    plain = model.partition("+")[0]
    for name, more, words in (
        ("bird", ("--model", model), "the map is of the 21 classes of 'voc'"),
        ("plain", ("--model", model, "--fusion", 2), "the scene has none"),
        ("plain", ("--model", plain, "--use", "box"), "use: the model has no adapter"),
        ("plain", ("--model", plain, "--gate", "0.3"), "gate: the model has no adapter"),
        ("plain", ("--model", plain, "--ground", "--classes", "a", "--windows", "uniform"), "one whole pass"),
    ):
        ended = cli("generate", tmp_path / f"{name}.json", *more, "--steps", 1, "--out", tmp_path / "out")
        assert ended.code == 2 and words in ended.err and not (tmp_path / "out").exists()


def test_the_shipped_list_is_found_by_its_name(cli, model: str, tmp_path: Path) -> None:
    ended = cli(
        "generate", "streets.json", "--vocabulary", "town", "--model", model, "--steps", 1, "--guidance", 1,
        "--crop", 96, "--out", tmp_path / "out",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = [Record.load(path).scene for path in ended.out.splitlines()[:4]]
    assert [one.extra[KEY]["class"] for one in found] == ["bus", "traffic light", "car", "rider"]
    assert all(one.extra[KEY]["class"] in one.prompt for one in found)


def test_the_published_maps_and_their_list(cli, model: str, data_dir: Path, tmp_path: Path) -> None:
    place = data_dir / "gta_labels" / "gen_file.json"
    if not place.is_file():
        pytest.skip("the published maps are not here")
    ended = cli(
        "generate", place, "--vocabulary", "cityscapes", "--model", model, "--steps", 1, "--guidance", 1,
        "--seed", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    found = [Record.load(path).scene for path in ended.out.splitlines()[:4]]
    assert [one.extra[KEY]["class"] for one in found] == ["bus", "traffic light", "car", "rider"]
    for one in found:
        x0, y0, x1, y1 = one.extra[KEY]["crop"]
        assert (x1 - x0, y1 - y0) == (1024, 512)
        assert one.prompt.startswith("road")
