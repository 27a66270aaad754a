"""The probe: fixed held-out scenes, numbers with and without layout, a sheet."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_family import denoiser, model_folder

from scenewright.evaluate.colour import ColourFinding
from scenewright.scene import read_image
from scenewright.train.probe import PROBE_SEED, ProbeConfig, probe, probe_scenes, summary
from scenewright.train.renders import FIRST_SEED

pytestmark = pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")

TINY = ProbeConfig(scenes=3, steps=2, shown=2, size=64, batch=2)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = model_folder(tmp_path_factory.mktemp("models") / "eps")
    return denoiser(folder, tmp_path_factory.mktemp("cache"), probe=TINY)


def test_scenes_are_fixed_and_held_out():
    first, again = probe_scenes(3), probe_scenes(3)
    assert first == again and PROBE_SEED + 10_000 < FIRST_SEED
    large = probe_scenes(3, 512)
    assert [one.size_wh for one in large] == [(512, 512)] * 3
    assert [one.prompt for one in large] == [one.prompt for one in first]
    assert [one.instances[0].box for one in large] == [one.instances[0].box for one in first]


def test_an_untrained_adapter_changes_no_number(task, tmp_path):
    found = task.validate(7, tmp_path)
    assert found["layout_found"] == found["text_found"] and found["layout_iou"] == found["text_iou"]
    assert found["gate_mean"] == 0
    assert read_image(tmp_path / "layout-0000007.png").ndim == 3
    assert (tmp_path / "text-0000007.png").exists()
    assert task.handle.is_open


def test_without_an_adapter_there_is_only_text(task, tmp_path):
    task.handle.close()
    found = probe(task.backbone, None, TINY, tmp_path, 1)
    task.handle = task.adapter.attach(task.backbone.unet)
    assert set(found) == {"text_found", "text_iou"}


def test_switched_off(task, tmp_path):
    assert probe(task.backbone, task.adapter, ProbeConfig(scenes=0), tmp_path, 1) == {}
    assert not list(tmp_path.iterdir())


def test_means_are_over_instances_not_over_scenes():
    def one(found, iou):
        return ColourFinding(
            instance="i", asked="red", seen="red", cover=1.0, excess=1.0, iou=iou, found=found
        )

    findings = [[one(True, 1.0)], [one(False, 0.0), one(False, 0.2), one(True, 0.4)], []]
    numbers = summary(findings, "x")
    assert numbers["x_found"] == 0.5 and np.isclose(numbers["x_iou"], 0.4)
    assert summary([[]], "x") == {"x_found": 0.0, "x_iou": 0.0}
