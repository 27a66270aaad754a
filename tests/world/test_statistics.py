"""The script behind the dataset card's figures."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from scenewright.scene import read_image
from scenewright.world import town, toybox
from scenewright.world.town_classes import NAMES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("world_statistics", ROOT / "runs" / "world_statistics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_toybox_counts_are_those_of_the_scenes(script, tmp_path) -> None:
    seeds = range(40, 52)
    found = script.toybox_statistics(seeds)
    scenes = [toybox.draw(seed).scene for seed in seeds]
    toys = [one for scene in scenes for one in scene.instances]
    assert (found["pictures"], found["toys"]) == (12, len(toys))
    assert found["class"]["cat"] == sum(one.category == "cat" for one in toys) / len(toys)
    for key in ("number", "setting", "style", "class", "colour", "texture"):
        assert sum(found[key].values()) == pytest.approx(1), key
    assert found["longest caption"] == max(len(scene.prompt.replace(",", " ").split()) for scene in scenes)
    assert f"| class | aeroplane {100 * found['class']['aeroplane']:.1f}," in script.toybox_tables(found)
    script.plot_toybox(found, tmp_path / "toys.png")
    assert read_image(tmp_path / "toys.png").std() > 0


def test_town_counts_are_those_of_the_label_maps(script, tmp_path) -> None:
    found = script.town_statistics([3])
    labels_HW = town.draw(3, look="night").semantic
    assert found["labels are the same in every look"]
    for number, name in enumerate(NAMES):
        assert found["pixels"][name] == pytest.approx((labels_HW == number).mean())
        assert found["streets with it"][name] == float((labels_HW == number).any())
    assert f"| road | {100 * found['pixels']['road']:.2f} | 100.0 |" in script.town_tables(found)
    script.plot_town(found, tmp_path / "town.png")
    assert read_image(tmp_path / "town.png").std() > 0


def test_the_card_has_the_tables_of_the_script(script) -> None:
    """Layout of the card's tables, by their rows; figures are the script's on more pictures."""
    card = (ROOT / "docs" / "cards" / "worlds.md").read_text(encoding="utf-8")
    for name in (*NAMES, "number", "setting", "style", "colour", "texture", "class", "box area", "caption"):
        assert f"\n| {name} |" in card, name
