"""``reproduce dginstyle`` on tiny models: pictures, trainings, counts, what is kept, the figures by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.condition.semantic import KIND, SemanticConfig, SemanticControl
from scenewright.errors import InputError, ModelError
from scenewright.evaluate.semantic import semantic_score
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.weather import WeatherPolicy
from scenewright.flows.maps import KEY
from scenewright.flows.options import GenerateOptions
from scenewright.flows.reproduce.dginstyle import CELLS, PICTURES, reproduce_dginstyle
from scenewright.flows.reproduce.dginstyle_data import (
    draw_source,
    look_of,
    map_source,
    rare_classes,
    rendered,
)
from scenewright.flows.reproduce.dginstyle_judged import Seen, measures, small_things
from scenewright.flows.reproduce.dginstyle_plan import (
    ARMS,
    LOOK_OF,
    SET,
    SOURCE_SEED,
    SPACE,
    TARGETS,
    StyleOptions,
    cells,
)
from scenewright.flows.reproduce.dginstyle_scores import MEAN, ArmScores, arm_scores
from scenewright.flows.reproduce.dginstyle_verdicts import verdicts
from scenewright.flows.reproduce.figures import Value, mean
from scenewright.models.segformer import SegformerSize
from scenewright.scene import Record, read_image
from scenewright.train import street_cells
from scenewright.train.loop import run
from scenewright.world import town

TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> StyleOptions:
    """A base, a source with another UNet, and a control that acts."""
    from scenewright.backbone.load import save_folder
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    folder = tmp_path_factory.mktemp("models")
    base, other = tiny_backbone(0), tiny_backbone(1)
    save_folder(base, folder / "base", torch.float32)
    save_folder(replace(base, unet=other.unet), folder / "source", torch.float32)
    config = SemanticConfig(vocabulary="town", size_wh=SET.size_wh)
    control = SemanticControl.for_unet(base.unet, config, stride=base.stride)
    with torch.no_grad():
        for name, value in control.named_parameters():
            if "controlnet_" in name and not bool(value.any()):
                value.add_(0.02)
    file = save_adapter(
        folder / "control.safetensors", control, control.config, KIND, base.fingerprint,
        text_fingerprint=base.text_fingerprint,
    )  # fmt: skip
    return StyleOptions(
        streets=5, pictures=3, steps=1, seeds=1, scenes=2, resamples=100, base=str(folder / "base"),
        source=str(folder / "source"), control=str(file), device="cpu", dtype="float32",
        generate=GenerateOptions(steps=1, guidance=1.0, window_stride=1.0),
    )  # fmt: skip


class Trainer:
    """Trains the cells' own recipes with a smaller network and batch; remembers which, may be interrupted."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.made: list[str] = []
        self.stop_at = stop_at

    def __call__(self, cell, out: Path, shared: Path) -> Path:
        if len(self.made) == self.stop_at:
            raise KeyboardInterrupt
        self.made.append(f"{cell.arm.name}-{cell.seed}")
        recipe = street_cells.cell_recipe(cell, shared)
        task = replace(recipe.task, net=TINY, class_weights="none", checked=1)
        recipe = replace(recipe, task=task, loop=replace(recipe.loop, batch_size=2, precision="no"))
        return Path(run(recipe, out, resume=True)["export"])


@pytest.fixture(scope="module")
def made(options: StyleOptions, tmp_path_factory: pytest.TempPathFactory):
    """Everything, interrupted at the third training and taken up again."""
    out = tmp_path_factory.mktemp("out")
    first, second = Trainer(stop_at=2), Trainer()
    with pytest.raises(KeyboardInterrupt):
        reproduce_dginstyle(options, first, out)
    done = reproduce_dginstyle(options, second, out)
    assert first.made == ["source-1", "colour-1"]
    assert second.made == ["plain-1", "swap-1", "fusion-1", "renders-1"]
    return out, done


def test_everything_is_made(made, options: StyleOptions) -> None:
    out, done = made
    assert [path.name for path in done.files] == [
        "results.json", "table.md", "looks.png", "sheet.png", "labels.png",
    ]  # fmt: skip
    found = json.loads((out / "results.json").read_text())
    assert set(found["arms"]) == set(ARMS) and set(found["judged"]) == set(options.sets)
    for arm in found["arms"].values():
        assert set(arm["miou"]) == {*SET.looks, MEAN} and len(arm["miou"]["fog"]["seeds"]) == 1
        by_look = [arm["miou"][look]["value"] for look in TARGETS]
        assert np.isclose(np.mean(by_look), arm["miou"][MEAN]["value"], atol=1e-4)
    assert found["arms"]["colour"]["above_colour"]["value"] == 0.0
    assert found["judged"]["renders"]["miou"]["of_ceiling"]["value"] == 1.0
    assert found["judged"]["renders"]["miou"]["value"] > 0.3  # the judge knows drawings
    assert found["judged"]["swap"]["miou"]["value"] < 0.2  # and the networks are random
    assert len(found["verdicts"]) == 7 and [one["holds"] for one in found["verdicts"]].count(None) <= 2
    text = (out / "table.md").read_text() + "\n".join(done.lines()[: -len(done.files)])
    assert "source, colours changed" in text and "claim:" in text and str(out) not in text
    assert str(Path(options.base).parent) not in text + json.dumps(found)
    assert all(read_image(out / name).size for name in ("looks.png", "sheet.png", "labels.png"))


def test_all_sets_show_the_same_maps(made, options: StyleOptions) -> None:
    out, _ = made
    sets = {path.name.split("-")[0]: path for path in (out / PICTURES).iterdir()}
    assert set(sets) == {"town", *options.sets}
    records = {}
    for name in options.generated:
        data = Dataset.open(sets[name])
        records[name] = {key: record for key, record in data.records()}
    renders = {path.stem: Record.load(path) for path in sets["renders"].glob("*.png")}
    assert len(renders) == 3 and all(set(one) == set(renders) for one in records.values())
    for key, drawn in renders.items():
        told = drawn.scene.extra[KEY]
        street = town.draw(drawn.provenance["seed"], look=look_of(told))
        assert drawn.provenance["seed"] == SOURCE_SEED + int(told["source"][:5]) - 1
        assert np.array_equal(drawn.image, street.image)
        assert np.array_equal(drawn.labels.labels(), street.semantic)
        assert {one[key].labels for one in records.values()} == {drawn.labels}
        assert {one[key].provenance["seed"] for one in records.values()} == {drawn.scene.seed}
        images = [one[key].image for one in records.values()]
        assert not np.array_equal(images[0], images[1]) and not np.array_equal(images[1], images[2])
    models = [records[name][next(iter(renders))].provenance["backbone"] for name in options.generated]
    assert models[0] != models[1] == models[2]


def test_what_is_there_is_not_made_again(made, options: StyleOptions) -> None:
    out, done = made
    idle = Trainer()
    again = reproduce_dginstyle(options, idle, out)
    assert idle.made == [] and again.to_json() == done.to_json()
    lost = next((out / CELLS).glob("colour-1-*")) / "fog.scores.json"
    lost.write_text("{")
    more = Trainer()
    two = replace(options, only=("source", "colour"), seeds=2)
    found = reproduce_dginstyle(two, more, out)
    assert more.made == ["colour-1", "source-2", "colour-2"]
    assert found.results.judged == {} and [one.holds for one in found.results.verdicts] == [None] * 7
    seeds = found.results.arms["colour"].seeds[MEAN]
    assert seeds[0] == done.results.arms["colour"].seeds[MEAN][0] and len(set(seeds)) == 2


def test_a_filter_that_refuses_everything(options: StyleOptions, made, tmp_path: Path) -> None:
    out, _ = made
    segmenter = next((out / CELLS).glob("source-1-*")) / "export"
    with pytest.raises(InputError, match="refused all 1 pictures of the set swap"):
        strict = replace(options, only=("swap",), pictures=1, streets=2, filter=str(segmenter))
        reproduce_dginstyle(strict, Trainer(), tmp_path)


def test_the_plan(options: StyleOptions, tmp_path: Path) -> None:
    assert options.sets == ("plain", "swap", "fusion", "renders") and options.generated == options.sets[:3]
    assert replace(options, only=("source",)).sets == ()
    assert replace(options, only=("swap",)).sets == ("swap", "renders")
    assert options.model("plain").allow_other_backbone and not options.model("fusion").allow_other_backbone
    assert [options.sampling(name).fusion for name in options.generated] == [1, 1, 2]
    wanted = cells(replace(options, seeds=2, only=("source", "colour")), tmp_path, {})
    assert [one.name[:8] for one in wanted] == ["source-1", "colour-1", "source-2", "colour-2"]
    assert len({one.digest for one in wanted}) == 4
    fewer = cells(replace(options, scenes=1, resamples=200, only=("source", "colour")), tmp_path, {})
    assert {one.digest for one in fewer} < {one.digest for one in wanted}
    for changes, words in (
        ({"seeds": 0}, "seeds is 0"),
        ({"scenes": 1001}, "town-1 has 1000"),
        ({"fusion": 1}, "fusion is 1"),
        ({"only": ("fusoin",)}, "did you mean fusion"),
        ({"mix": (0.0, 1.0)}, "expected two numbers above 0"),
        ({"template": "a street"}, "no place for both"),
    ):
        with pytest.raises(InputError) as fault:
            replace(options, **changes)
        assert words in f"{fault.value} {fault.value.hint}"


def test_models_that_are_not_there_leave_nothing(options: StyleOptions, tmp_path: Path) -> None:
    for wrong, words in (
        ({"control": str(tmp_path / "no.safetensors")}, "nano-dginstyle"),
        ({"source": str(tmp_path / "none")}, "check the path"),
        ({"base": "nona"}, "unknown model"),
    ):
        with pytest.raises(ModelError) as fault:
            reproduce_dginstyle(replace(options, **wrong), Trainer(), tmp_path / "out")
        assert words in f"{fault.value} {fault.value.hint}" and not (tmp_path / "out").exists()


def test_weathers_have_looks(options: StyleOptions, tmp_path: Path) -> None:
    assert LOOK_OF == {
        "sunny": "clear", "foggy": "fog", "rainy": "rain", "snowy": "snow", "night": "night",
    }  # fmt: skip
    assert [look_of({"item": k}) for k in range(6)] == [*TARGETS, TARGETS[0]]
    source = draw_source(3, tmp_path, lambda *_: None)
    rare = rare_classes(source)
    assert "road" not in rare and set(rare) < set(SPACE.names)
    wanted = replace(options, weather=WeatherPolicy.parse("night"), pictures=2)
    for order in map_source(wanted, source).orders(SET.size_wh, 0.0):
        assert order.job.scene.prompt.startswith("a city street scene in night weather with road")
        found = rendered(order)
        seed = SOURCE_SEED + int(order.job.scene.extra[KEY]["source"][:5]) - 1
        assert np.array_equal(found.image, town.draw(seed, look="night").image)


def test_small_things_by_hand() -> None:
    car, person, road = (SPACE.names.index(name) for name in ("car", "person", "road"))
    truth = np.full((96, 192), road, np.uint16)
    truth[10:15, 10:20] = car  # 50 pixels, all kept
    truth[30:34, 30:38] = person  # 32 pixels, half of them kept
    truth[50:54, 50:58] = person  # 32 pixels, fewer
    truth[70:72, 70:75] = car  # 10 pixels: too small to count
    truth[60:90, 100:180] = car  # larger than one in a hundred
    truth[0:6, 100:106] = SPACE.names.index("pole")  # nothing that is counted
    seen = truth.copy()
    seen[30:32, 30:38] = road
    seen[50:53, 50:58] = car
    assert small_things(truth, seen) == (2, 3)
    assert small_things(np.full((8, 8), road, np.uint16), seen[:8, :8]) == (0, 0)
    shown = [Seen(truth, truth, "fog", "fog"), Seen(truth, seen, "rain", "fog"), Seen(truth, seen, "fog", "")]
    found = measures(shown, ("person",))
    every, first = np.ones((1, 3)), np.array([[1.0, 0.0, 0.0]])
    assert found["small"](every)[0] == 7 / 9 and found["small"](first)[0] == 1.0
    assert found["look"](every)[0] == 0.5 and found["miou"](first)[0] == 1.0
    assert found["rare"](every)[0] == (64 + 24 + 24) / 192


def test_seeds_are_resampled_in_pairs() -> None:
    rng = np.random.default_rng(0)
    values = [Value(float(k), rng.normal(k, 0.1, 200)) for k in range(3)]
    counts = rng.multinomial(3, [1 / 3] * 3, size=200).astype(np.float64)
    found = mean(values, counts)
    by_hand = [
        sum(c * one.drawn_B[b] for c, one in zip(counts[b], values, strict=True)) / 3 for b in range(200)
    ]
    assert found.value == 1.0 and np.allclose(found.drawn_B, by_hand)
    assert np.allclose(mean(values).drawn_B, np.mean([one.drawn_B for one in values], axis=0))
    wide, narrow = (one.estimate() for one in (found, mean(values)))
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    shifted = mean([Value(one.value + 0.5, one.drawn_B + 0.5) for one in values], counts)
    gain = (shifted - found).estimate()
    assert gain.low == pytest.approx(0.5) == gain.high


def arm(level: float) -> ArmScores:
    """An arm of two seeds that names this share of every picture's pixels right."""
    rng, counts = np.random.default_rng(5), []
    for _ in range(2):
        looks = {}
        for look in SET.looks:
            pairs = []
            for _ in range(4):
                truth = rng.integers(0, 3, (20, 20)).astype(np.uint16)
                pairs.append((truth, np.where(rng.random((20, 20)) < level, truth, 3).astype(np.uint16)))
            looks[look] = semantic_score(pairs, SPACE.scored())
        counts.append(looks)
    return arm_scores(counts, 100)


def test_verdicts() -> None:
    low, high = arm(0.5), arm(0.7)
    assert abs(high.classes["road"] - 0.7) < 0.05 and high.classes["train"] is None

    def judged(value: float) -> dict[str, Value]:
        return dict.fromkeys(("miou", "rare", "look", "small"), Value(value, np.full(100, value)))

    sets = {"swap": judged(0.5), "fusion": judged(0.6), "renders": judged(0.9)}
    found = verdicts({"colour": low, "plain": low, "swap": high, "fusion": high}, sets)
    assert [one.holds for one in found] == [True, True, True, False, True, True, True]
    assert "points" in found[0].figures and "67 %" in found[4].figures and "+10.0 points" in found[6].figures
    worse = verdicts({"colour": high, "swap": low, "plain": high, "fusion": low}, {})
    assert [one.holds for one in worse] == [False, False, False, False, None, None, None]


def test_wrong_usage(cli, tmp_path: Path) -> None:
    for arguments, words in (
        (("--arm", "fusoin"), "did you mean fusion"),
        (("--mix", "1"), "--mix"),
        (("--weather", "snwy"), "unknown weather"),
        (("--control", tmp_path / "no.safetensors"), "no control of label maps"),
        (("--arm", "colour", "--mix", "1,1"), "--mix was given without arms that learn from further"),
        (("--arm", "renders", "--filter", "f", "--steps", 4), "--filter, --steps were given without arms of"),
        (("--arm", "swap", "--source", "s"), "--source was given without the arm plain"),
        (("--arm", "swap", "--window-stride", 1), "--window-stride was given without the arm fusion"),
    ):
        ended = cli("reproduce", "dginstyle", *arguments, "--out", tmp_path / "out")
        assert ended.code == 2 and words in ended.err and "hint: " in ended.err
        assert not (tmp_path / "out").exists()
