"""Recorded data preparation of the original DGInStyle: id tables, statistics, rare-class sampling, crops,
encodings. Every set under the golden folder is run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scenewright.data.rare_classes import (
    RareClasses,
    class_odds,
    crop,
    generation_window,
    middle_window,
    window_at,
)
from scenewright.data.street_stats import (
    Listed,
    Statistics,
    dataset_file_bytes,
    read_dataset_file,
)
from scenewright.scene import Vocabulary
from scenewright.scene.label_maps import (
    WEATHERS,
    channels,
    class_caption,
    class_pixels,
    from_colours,
    weather_prompt,
)
from scenewright.scene.label_space import LabelSpace
from scenewright.scene.street_ids import table, train_ids

SPACE = LabelSpace.of("cityscapes")


@pytest.fixture(scope="module")
def sets(golden_dir) -> list[Path]:
    found = sorted(golden_dir.glob("dginstyle/*/rcs"))
    if not found:
        pytest.skip("no recorded data preparation under the golden folder")
    return [folder.parent for folder in found]


def _json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_class_odds_are_the_recorded_ones(sets):
    for folder in sets:
        expected, statistics = _json(folder / "rcs/expected.json"), Statistics.read(folder / "rcs")
        totals = statistics.totals()
        assert totals == {int(id): n for id, n in expected["class_pixel_totals"].items()}
        for temperature, told in expected["temperatures"].items():
            odds = class_odds(totals, float(temperature))
            assert list(odds.classes) == told["classes"]
            assert np.allclose(odds.probabilities, told["probs"], rtol=0, atol=2e-6)
        rare = RareClasses.of(statistics, min_pixels=expected["min_pixels"])
        eligible = {int(id): tuple(names) for id, names in expected["eligible_files"].items() if names}
        assert dict(rare.files) == eligible
        assert set(rare.scarce) == set(totals) - set(eligible)


def test_statistics_files_can_be_exchanged(sets, tmp_path):
    for folder in sets:
        with np.load(folder / "convert/labels.npz") as arrays:
            maps = arrays["train_ids"]
        names = [f"data/gta/labels/{k:05d}_labelTrainIds.png" for k in range(1, len(maps) + 1)]
        ours = Statistics(
            tuple((name, class_pixels(one, SPACE)) for name, one in zip(names, maps, strict=True))
        )
        for name, content in ours.contents().items():
            expected = _json(folder / "convert" / name)
            assert json.loads(content) == expected
            assert list(json.loads(content)) == list(expected), name
            (tmp_path / name).write_text(json.dumps(expected))
            assert Statistics.read(tmp_path).rows == ours.rows
            (tmp_path / name).unlink()


def test_training_lists_can_be_exchanged(sets, tmp_path):
    for folder in sets:
        path = folder / "convert/dataset_file.json"
        with np.load(folder / "convert/labels.npz") as arrays:
            captions = [class_caption(one, SPACE) for one in arrays["train_ids"]]
        lines = [
            Listed(caption, f"data/gta/images/{k:05d}.png", f"data/gta/labels/{k:05d}.png")
            for k, caption in enumerate(captions, 1)
        ]
        assert read_dataset_file(path) == lines
        (tmp_path / "own.json").write_bytes(dataset_file_bytes(lines))
        assert [json.loads(row) for row in (tmp_path / "own.json").read_text().splitlines()] == [
            json.loads(row) for row in path.read_text().splitlines() if row
        ]


def test_id_tables_are_the_recorded_ones(sets):
    for folder in sets:
        with np.load(folder / "convert/labels.npz") as arrays:
            assert np.array_equal(train_ids(arrays["raw_ids"], "city"), arrays["train_ids"])
            assert np.array_equal(table("city"), arrays["gta_table"])
            assert np.array_equal(
                table("mapillary")[: len(arrays["mapillary_v12_table"])], arrays["mapillary_v12_table"]
            )


def test_crops_and_their_captions_are_the_recorded_ones(sets):
    for folder in sets:
        expected = _json(folder / "crops/expected.json")
        with np.load(folder / "crops/label.npz") as arrays:
            labels = arrays["label"]
        side = (expected["crop_size"],) * 2
        for id, k, *window, caption in expected["train"]:
            found = window_at(labels, id, k, side)
            assert (list(found), class_caption(crop(labels, found), SPACE)) == (window, caption)
        *window, caption = expected["center"]
        found = middle_window(labels.shape, side)
        assert (list(found), class_caption(crop(labels, found), SPACE)) == (window, caption)
        generators: dict[int, np.random.Generator] = {}
        for seed, id, *window, caption in expected["generation"]:
            rng = generators.setdefault(seed, np.random.default_rng(seed))
            found = generation_window(labels, id, side, rng, published=True)
            assert (list(found), class_caption(crop(labels, found), SPACE)) == (window, caption)


def test_encodings_are_the_recorded_ones(sets):
    cityscapes = Vocabulary.load("cityscapes")
    for folder in sets:
        expected = _json(folder / "encoding/expected.json")
        with np.load(folder / "encoding/encoding.npz") as arrays:
            recorded = dict(arrays)
        labels = recorded["label"]
        before = labels.copy()
        assert np.array_equal(channels(labels, SPACE), recorded["onehot"])
        assert np.array_equal(labels, before)  # the original left 19 in place of 255 here
        assert np.array_equal(cityscapes.colours(labels, ignored=(0, 0, 0)), recorded["rgb"])
        assert np.array_equal(from_colours(recorded["rgb_noisy"], cityscapes), recorded["label_from_rgb"])
        caption = class_caption(labels, SPACE)
        assert caption == expected["prompt"]
        prompts = {word: weather_prompt(caption, word) for word in WEATHERS}
        assert prompts == expected["weather_prompts"]
        counts = {cityscapes.by_id(id).name: n for id, n in class_pixels(labels, SPACE).items()}
        counts["others"] = int((labels == 255).sum())
        assert counts == {name: n for name, n in expected["label_stats"].items() if n}
