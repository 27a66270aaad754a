"""The town: same seed, same street; every look keeps the geometry; the ground truth agrees with itself."""

from __future__ import annotations

import json
import time
from collections import Counter

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.scene import Scene, Vocabulary
from scenewright.world import town
from scenewright.world.drawn import Drawn
from scenewright.world.town_classes import TOWN_CLASSES, TRAIN_ID, from_city_ids, to_city_ids

SEEDS = (0, 3, 7, 31, 112)


@pytest.fixture(scope="module")
def many() -> list[Drawn]:
    """The first 240 streets in the source look."""
    return [town.draw(seed) for seed in range(240)]


def _colourfulness(drawn: Drawn) -> float:
    return float(np.ptp(drawn.image.astype(int), axis=2).mean())


@pytest.mark.parametrize("look", town.LOOKS)
def test_same_seed_same_picture(look: str) -> None:
    first, second = town.draw(5, look=look), town.draw(5, look=look)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.instance_map, second.instance_map)
    assert first.scene == second.scene
    assert not np.array_equal(first.image, town.draw(6, look=look).image)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_look_has_the_same_ground_truth(seed: int) -> None:
    source = town.draw(seed, look="game")
    for look in town.LOOKS[1:]:
        other = town.draw(seed, look=look)
        assert np.array_equal(source.semantic, other.semantic)
        assert np.array_equal(source.instance_map, other.instance_map)
        pairs = zip(source.scene.instances, other.scene.instances, strict=True)
        assert all(one == two for one, two in pairs)
        assert not np.array_equal(source.image, other.image)


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_boxes_and_labels_agree(seed: int) -> None:
    drawn = town.draw(seed)
    assert drawn.image.shape == (96, 192, 3) and drawn.image.dtype == np.uint8
    assert drawn.semantic.dtype == np.uint8 and drawn.semantic.max() < len(TOWN_CLASSES)
    assert drawn.instance_map.max() == len(drawn.scene.instances) > 0
    for number, instance in enumerate(drawn.scene.instances, 1):
        seen_HW = drawn.instance_map == number
        assert instance.mask is not None and np.array_equal(instance.mask.array(), seen_HW)
        assert instance.box == instance.mask.box()
        assert instance.category is not None
        assert set(drawn.semantic[seen_HW]) == {TRAIN_ID[instance.category]}
        assert TOWN_CLASSES[TRAIN_ID[instance.category]].thing
        assert instance.category in instance.phrase
        assert instance.extra["town"]["area_px"] == seen_HW.sum()


def test_nearer_things_have_a_higher_z(many: list[Drawn]) -> None:
    for drawn in many[:100]:
        depths = [i.extra["town"]["depth_m"] for i in sorted(drawn.scene.instances, key=lambda i: i.z)]
        assert depths == sorted(depths, reverse=True)
        assert len({i.z for i in drawn.scene.instances}) == len(depths)


def test_all_classes_occur_and_rare_ones_are_rare(many: list[Drawn]) -> None:
    seen: Counter[str] = Counter()
    pixels = np.zeros(len(TOWN_CLASSES))
    for drawn in many:
        counts = np.bincount(drawn.semantic.reshape(-1), minlength=len(TOWN_CLASSES))
        pixels += counts
        seen.update(town.CLASSES[k] for k in np.flatnonzero(counts > 12))
    share = dict(zip(town.CLASSES, pixels / pixels.sum(), strict=True))
    assert set(seen) == set(town.CLASSES)
    assert all(seen[name] > 216 for name in ("road", "sky", "car"))
    assert all(seen[name] < 60 for name in ("train", "bus", "truck", "motorcycle", "rider"))
    assert share["road"] > 0.2 and share["building"] > 0.1 and share["sky"] > 0.08
    assert all(share[name] < 0.01 for name in ("rider", "motorcycle", "bicycle", "traffic light", "train"))


def test_sky_is_above_and_road_below() -> None:
    for seed in SEEDS:
        labels_HW = town.draw(seed).semantic
        rows = {name: np.flatnonzero((labels_HW == TRAIN_ID[name]).any(1)) for name in ("sky", "road")}
        assert rows["sky"].min() == 0 and rows["road"].max() == 95
        assert rows["sky"].mean() < rows["road"].mean()


@pytest.mark.parametrize("size_wh", [(96, 48), (128, 64), (192, 96), (64, 64), (384, 192)])
def test_any_size(size_wh: tuple[int, int]) -> None:
    drawn = town.draw(9, size_wh=size_wh, look="rain")
    assert drawn.image.shape == (size_wh[1], size_wh[0], 3)
    assert drawn.scene.size_wh == size_wh
    assert drawn.instance_map.shape == drawn.semantic.shape == size_wh[::-1]


def test_sizes_show_the_same_street() -> None:
    small, large = town.draw(9, size_wh=(96, 48)), town.draw(9, size_wh=(192, 96))
    assert (small.semantic == large.semantic[::2, ::2]).mean() > 0.9


def test_looks_differ_at_a_glance() -> None:
    mean = {}
    vivid = {}
    for look in town.LOOKS:
        pictures = [town.draw(seed, look=look) for seed in range(12)]
        mean[look] = float(np.mean([drawn.image.mean() for drawn in pictures]))
        vivid[look] = float(np.mean([_colourfulness(drawn) for drawn in pictures]))
    assert mean["night"] < 60 < mean["rain"] < mean["clear"] < mean["fog"]
    assert mean["snow"] > mean["clear"] + 20
    assert vivid["game"] > 2 * vivid["clear"] > 2 * vivid["fog"]


def test_fog_hides_the_far_end() -> None:
    """What is far is closer to the colour of the fog than what is near."""
    far, near = [], []
    for seed in range(12):
        drawn = town.draw(seed, look="fog")
        road_HW = drawn.semantic == TRAIN_ID["road"]
        rows = np.flatnonzero(road_HW.any(1))
        gap_HW = 223.0 - drawn.image.mean(axis=2)
        far.append(gap_HW[rows[2]][road_HW[rows[2]]].mean())
        near.append(gap_HW[-1][road_HW[-1]].mean())
    assert np.mean(far) < 0.6 * np.mean(near)


def test_snow_whitens_the_ground() -> None:
    for name in ("road", "sidewalk", "terrain"):
        light = {}
        for look in ("clear", "snow"):
            values = []
            for seed in range(20):
                drawn = town.draw(seed, look=look)
                values.append(drawn.image[drawn.semantic == TRAIN_ID[name]].mean(axis=1))
            light[look] = float(np.concatenate(values).mean())
        assert light["snow"] > light["clear"] + 40


def test_captions_name_the_weather_and_only_what_is_seen() -> None:
    words = {"game": "video game", "fog": "fog", "rain": "rain", "snow": "snow", "night": "night"}
    named: Counter[str] = Counter()
    for look, word in words.items():
        for seed in range(25):
            drawn = town.draw(seed, look=look)
            caption = drawn.scene.prompt
            named[look] += word in caption
            kinds = {instance.category for instance in drawn.scene.instances}
            for item in TOWN_CLASSES:
                if item.thing and (
                    f" {item.name}" in caption.replace("traffic", "") or item.plural in caption
                ):
                    assert item.name in kinds or item.name in ("car", "traffic light"), caption
        assert 17 <= named[look] <= 25
    assert len({town.draw(seed, look="fog").scene.prompt for seed in range(40)}) > 34


def test_scene_survives_json_and_names_its_look() -> None:
    drawn = town.draw(4, look="snow")
    assert drawn.scene.style == "snow" and drawn.scene.seed == 4
    assert drawn.scene.extra["town"]["look"] == "snow"
    assert Scene.from_json(json.loads(json.dumps(drawn.scene.to_json()))) == drawn.scene


def test_record_holds_masks_and_labels() -> None:
    drawn = town.draw(4)
    record = drawn.record()
    assert set(record.masks) == {instance.id for instance in drawn.scene.instances}
    assert record.labels is not None and record.labels.vocabulary == "town"
    assert np.array_equal(record.labels.labels(), drawn.semantic)


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ({"look": "fogg"}, "unknown look 'fogg'", "'fog'"),
        ({"look": ""}, "unknown look ''", ""),
        ({"size_wh": (190, 96)}, "size 190x96", "192x96"),
        ({"size_wh": (192, 16)}, "size 192x16", "192x96"),
        ({"seed": -1}, "seed -1", ""),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        town.draw(**{"seed": 0, **arguments})  # type: ignore[arg-type]
    assert hint in caught.value.hint


def test_vocabulary_file_says_the_same_as_the_classes() -> None:
    shipped = Vocabulary.load("town")
    assert shipped.names == town.CLASSES
    for number, (entry, item) in enumerate(zip(shipped, TOWN_CLASSES, strict=True)):
        assert (entry.id, entry.code, entry.thing) == (number, item.city_id, item.thing)
        assert (entry.colour, entry.synonyms) == (item.colour, item.synonyms)
    assert shipped.ignore == 255


def test_ids_and_colours_are_those_of_cityscapes() -> None:
    oracle = Vocabulary.load("cityscapes")
    assert oracle.names == town.CLASSES
    assert [(e.code, e.colour) for e in oracle] == [(c.city_id, c.colour) for c in TOWN_CLASSES]


def test_city_ids_turn_back() -> None:
    labels_HW = np.array([[*range(19), 255]], np.uint8)
    assert np.array_equal(from_city_ids(to_city_ids(labels_HW)), labels_HW)
    assert set(from_city_ids(np.array([[0, 3, 9, 14, 34, 255]], np.uint8)).reshape(-1)) == {255}


def test_fast_enough_to_draw_while_training() -> None:
    """At least 150 pictures a second on an idle core; the bound leaves room for a busy one."""
    town.draw(0)
    start = time.process_time()
    for seed in range(40):
        town.draw(seed, look=town.LOOKS[seed % len(town.LOOKS)])
    assert 40 / (time.process_time() - start) > 60
