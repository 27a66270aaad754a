"""Data sets of label maps: which crops, weathers and seeds; the filter; the archive and back; bad input."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from scenewright.condition.semantic import KIND, SemanticConfig, SemanticControl
from scenewright.data.street import open_streets
from scenewright.data.street_stats import Statistics
from scenewright.errors import InputError, ModelError
from scenewright.flows.dataset.build import build
from scenewright.flows.dataset.exports import export
from scenewright.flows.dataset.folder import Dataset
from scenewright.flows.dataset.map_request import MapRequest, finish_maps, prepare_maps
from scenewright.flows.dataset.map_source import MapSource
from scenewright.flows.dataset.map_work import MAP, PIXELS, MapRules, MapTools, agreements, load_filter
from scenewright.flows.dataset.stats import stats
from scenewright.flows.dataset.verify import verify
from scenewright.flows.dataset.weather import WeatherPolicy, prefix
from scenewright.flows.maps import KEY
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.models.segformer import SegformerSize, Segmenter, fresh, save_segmenter
from scenewright.scene import Record, SemanticMap, Vocabulary
from scenewright.scene.label_maps import class_caption
from scenewright.scene.label_space import LabelSpace
from scenewright.testing import tiny_backbone
from scenewright.world import folders, town

SPACE = LabelSpace.of("town")
TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)


CUT = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    root = tmp_path_factory.mktemp("gta")
    folders.write_gta((town.draw(seed) for seed in range(4)), root)
    return root


@pytest.fixture(scope="module")
def source(maps):
    return MapSource(
        places=(maps,),
        vocabulary="town",
        total=7,
        crop_px=64,
        weather=WeatherPolicy.parse("published"),
        seed=3,
    )


@pytest.fixture(scope="module")
def bundle():
    backbone = tiny_backbone(3)
    config = SemanticConfig(vocabulary="town", size_wh=(64, 32))
    control = SemanticControl.for_unet(backbone.unet, config, stride=backbone.stride)
    return Bundle(backbone, control.requires_grad_(False).eval(), "tiny", KIND)


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(0)
    return Segmenter(fresh(SPACE.names, TINY).eval(), SPACE.names, space=SPACE)


def test_shares_of_the_weather_are_met_exactly():
    published = WeatherPolicy.parse("published").words(7000, 5)
    assert Counter(map(prefix, published)) == {"": 3000, "a": 3000, "n": 1000}
    assert published != WeatherPolicy.parse("published").words(7000, 6)
    assert Counter(WeatherPolicy.parse("coin").words(1000, 0))["sunny"] == 100
    assert sorted(WeatherPolicy.parse("none=3,night=1").words(7, 0)) == [""] * 5 + ["night"] * 2
    assert WeatherPolicy.parse("foggy").words(2, 0) == ("foggy", "foggy")
    for text, words in (
        ("snwy", "unknown weather"),
        ("night=0", "above 0"),
        ("a b", "given"),
        ("night=x", "given"),
    ):
        with pytest.raises(InputError, match=words):
            WeatherPolicy.parse(text)


def test_orders_are_crops_of_rare_classes_with_seeds_of_their_own(source):
    orders = source.orders((64, 32), 0.002)
    assert [one.name[:6] for one in orders] == [f"{k:06d}" for k in range(7)]
    assert len({one.job.seed for one in orders}) == 7
    whole = {f"{k + 1:05d}.png": town.draw(k).semantic for k in range(4)}
    for one in orders:
        scene, told = one.job.scene, one.job.scene.extra[KEY]
        labels = scene.semantic_map.labels()
        x0, y0, x1, y1 = told["crop"]
        assert (x1 - x0, y1 - y0) == (128, 64) and scene.size_wh == (64, 32)
        assert told["class"] in one.classes and (labels == SPACE.position(told["class"])).any()
        assert set(np.unique(labels)) <= set(np.unique(whole[told["source"]][y0:y1, x0:x1]))
        caption = class_caption(labels, SPACE)
        weather = told.get("weather")
        assert scene.prompt == (
            f"A city street scene with {caption}, in {weather} weather." if weather else caption
        )
        assert one.name[7:8] == (prefix(weather or "") or "0")
    assert (
        replace(source, total=9, weather=WeatherPolicy()).orders((64, 32), 0.0)[2].job.seed
        == orders[2].job.seed
    )
    in_turn = replace(source, total=0, temperature=0.0).orders((64, 32), 0.0)
    assert len(in_turn) == 4 and "class" not in in_turn[0].job.scene.extra[KEY]


def test_real_maps_by_their_list(data_dir):
    source = MapSource(places=(data_dir / "gta_labels" / "gen_file.json",))
    orders = source.orders((128, 128), 0.002)
    assert [one.job.scene.extra[KEY]["class"] for one in orders] == ["bus", "traffic light", "car", "rider"]
    assert [one.job.name[7:] for one in orders] == ["14813", "06835", "06901", "07025"]
    for one in orders:
        x0, y0, x1, y1 = one.job.scene.extra[KEY]["crop"]
        assert (x1 - x0, y1 - y0) == (512, 512)


@CUT
def test_a_data_set_with_manifest_report_and_archive(source, bundle, segmenter, tmp_path):
    rules = MapRules(agreement=0.02, pixels=0.0, doubtful="ignore")
    tools = MapTools(bundle, GenerateOptions(steps=2, batch=4), rules, segmenter, "tiny@0")
    orders = source.orders((64, 32), rules.area)
    out = tmp_path / "out"
    built = build(tools, orders, out, source.to_json())
    finish_maps(orders, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert build(tools, orders, out, source.to_json()).fresh == 0 and built.fresh == 7
    finish_maps(orders, out)
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
    data = Dataset.open(out)
    assert not verify(data).problems
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == [one.name for one in orders]
    assert {"source", "crop", "class", "prompt", "seed", "run_seed", "item", "state"} <= set(rows[0])
    report = json.loads((out / "quality.json").read_text())
    assert report["pictures"]["asked"] == 7 and report["weather"]["none"]["asked"] == 3
    assert report["classes"]["road"]["maps"] >= 5
    found = stats(data)
    assert found.kept == built.count("kept") and found.latents == 0
    assert data.kept
    if data.kept:
        archive = tmp_path / "archive"
        assert export(data, "maps", archive).name == "sample_class_stats.json"
        streets = open_streets(archive)
        assert streets.layout.name == "generated" and len(streets) == found.kept
        records = {name: data.record(name) for name in data.kept}
        for k, street in enumerate(streets.streets):
            image, labels = streets.item(k)
            name = data.kept[[int(n[:6]) for n in data.kept].index(int(street.stem.split("_genid")[1]))]
            assert np.array_equal(image, records[name].image)
            assert np.array_equal(labels, records[name].labels.labels())
        assert len(Statistics.read(archive)) == found.kept


@CUT
def test_every_picture_is_kept_without_a_segmenter(source, bundle, tmp_path):
    tools = MapTools(bundle, GenerateOptions(steps=2, batch=4))
    orders = source.orders((64, 32), 0.002)[:3]
    built = build(tools, orders, tmp_path / "out", source.to_json())
    assert built.count("kept") == 3
    record = Dataset.open(tmp_path / "out").record(orders[0].name)
    assert record.labels == orders[0].job.scene.semantic_map and "pixels" not in record.scores
    assert all(set(one) == {"area"} for one in record.scores[MAP].values())


def test_agreement_of_classes_and_what_is_done_about_it(source, bundle):
    truth = np.zeros((32, 64), np.uint16)
    truth[:, 32:], truth[:2] = 13, 255
    seen = np.where(np.arange(64) < 48, 0, 13)[None].repeat(32, 0)
    scores = agreements(truth, SemanticMap.from_labels(seen, "town"), SPACE)
    assert scores == {
        MAP: {"road": {"area": 0.46875, "agreement": 0.6667}, "car": {"area": 0.46875, "agreement": 0.5}},
        "pixels": 0.75,
    }
    order = source.orders((64, 32), 0.0)[0]
    scene = order.job.scene.replace(
        semantic_map=SemanticMap.from_labels(truth, "town"), extra={KEY: {"class": "car"}}
    )
    order = replace(order, wanted={"road": "road", "car": "car"})
    record = Record(np.zeros((32, 64, 3), np.uint8), scene)

    def made(told="car", **rules):
        tools = MapTools(bundle, GenerateOptions(), MapRules(**rules), None, "x")
        own = record.replace(scene=scene.replace(extra={KEY: {"class": told}}))
        return tools._made(own, order, SemanticMap.from_labels(seen, "town"))

    assert made().reasons == ()
    assert [str(one) for one in made(agreement=0.6).reasons] == ["car doubted (0.5)"]
    ignored = made("road", agreement=0.6)
    assert not ignored.reasons and ignored.record.scores["ignored"] == ["car"]
    assert set(np.unique(ignored.record.labels.labels())) == {0, 255}
    assert [one.name for one in made("road", agreement=0.6, doubtful="refuse").reasons] == ["car"]
    assert made(agreement=0.6, doubtful="keep").reasons == ()
    assert [one.name for one in made(pixels=0.8).reasons] == [PIXELS]


def test_filters_that_are_none(segmenter, tmp_path):
    assert load_filter("", "town", "cpu") == (None, "none")
    folder = save_segmenter(segmenter, tmp_path / "seg")
    loaded, named = load_filter(str(folder), "town", "cpu")
    assert loaded.space == SPACE and named.startswith("seg@") and len(named) == 12
    with pytest.raises(ModelError, match="not the 51 classes of toybox"):
        load_filter(str(folder), "toybox", "cpu")
    with pytest.raises(InputError, match="agreement is 2"):
        MapRules(agreement=2)
    with pytest.raises(InputError, match="doubtful is 'refus'"):
        MapRules(doubtful="refus")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"places": ()}, "no label maps"),
        ({"crop_px": 0}, "crop_px is 0"),
        ({"vocabulary": "twon"}, "there is no vocabulary"),
        ({"template": "a street"}, "no place for both"),
    ],
)
def test_sources_that_are_none(source, changes, words):
    with pytest.raises(InputError, match=words):
        replace(source, **changes)


def test_models_that_read_no_maps_are_refused(source, tiny_model, tmp_path):
    from scenewright.flows.produce import ModelChoice

    with pytest.raises(InputError, match="does not follow label maps"):
        prepare_maps(MapRequest(source=source, model=ModelChoice(name=tiny_model)), tmp_path / "out")
    assert Vocabulary.load("town").names == SPACE.names


@CUT
def test_the_real_maps_through_statistics_crops_pictures_and_export(data_dir, weights_are_here, tmp_path):
    """On the embedded model where its weights are here; the control is a fresh one, which changes nothing."""
    from scenewright.flows.dataset.streets import import_streets
    from scenewright.flows.model import Model

    backbone = Model.load("nano", device="cpu").bundle.backbone if weights_are_here else tiny_backbone(3)
    control = SemanticControl.for_unet(backbone.unet, SemanticConfig(), stride=backbone.stride)
    bundle = Bundle(backbone, control.requires_grad_(False).eval(), backbone.name, KIND)
    import_streets(data_dir / "gta_labels", "maps", out=tmp_path / "maps")
    listed = MapSource(
        places=(data_dir / "gta_labels" / "gen_file.json",), weather=WeatherPolicy.parse("coin")
    )
    rare = MapSource(places=(tmp_path / "maps",), total=2, seed=9)
    for name, source in (("listed", listed), ("rare", rare)):
        orders = source.orders((64, 64), 0.002)
        tools = MapTools(bundle, GenerateOptions(steps=2, batch=4))
        build(tools, orders, tmp_path / name, source.to_json())
        export(Dataset.open(tmp_path / name), "maps", tmp_path / f"{name}-archive")
        found = open_streets(tmp_path / f"{name}-archive")
        assert len(found) == len(orders) and found.item(0)[0].shape == (64, 64, 3)
