"""Figures over seeds: means and ratios resample by resample, and what captions tell."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.evaluate.bootstrap import ratio, weights
from scenewright.evaluate.measures import Measure, Measured, Part
from scenewright.flows.judging import JudgeCard
from scenewright.flows.reproduce.figures import Value, mean, table
from scenewright.flows.reproduce.told import told_scene
from scenewright.flows.samples import Sample
from scenewright.flows.scoring import asked_scenes
from scenewright.scene import Box, Instance, Scene
from scenewright.world.palette import COLOURS, TEXTURES
from scenewright.world.toybox import CLASSES

PICTURES, RESAMPLES = 50, 400
RNG = np.random.default_rng(3)
HITS_SP = RNG.random((3, PICTURES))
WEIGHTS_BP = weights(PICTURES, RESAMPLES)


def _measured(hits_P: np.ndarray) -> Measured:
    measures = {"iou": Measure(ratio(hits_P, np.ones(PICTURES)))}
    return Measured(
        measures=measures, groups={"instances": {"1": Part(PICTURES, 60, measures)}}, instances=60
    )


def test_mean_over_seeds_is_resampled_by_scene() -> None:
    """Against the definition: percentiles of the means of resampled scenes, all seeds of a scene together."""
    found = table([_measured(hits_P) for hits_P in HITS_SP], WEIGHTS_BP)
    per_scene_P = HITS_SP.mean(axis=0)
    drawn_B = WEIGHTS_BP @ per_scene_P / PICTURES
    one = found.all.values["iou"].estimate()
    assert one.value == pytest.approx(per_scene_P.mean())
    assert (one.low, one.high) == pytest.approx(tuple(np.quantile(drawn_B, [0.025, 0.975])))
    assert found.all.seeds["iou"] == pytest.approx(list(HITS_SP.mean(axis=1)))
    group = found.groups["instances"]["1"]
    assert group.values["iou"].estimate() == one and (group.pictures, group.instances) == (PICTURES, 60)


def test_shares_and_differences_are_paired() -> None:
    """Half of the ceiling in every scene is half of it without any spread."""
    best = Value.of(Measure(ratio(HITS_SP[0], np.ones(PICTURES))), WEIGHTS_BP)
    half = Value.of(Measure(ratio(HITS_SP[0] / 2, np.ones(PICTURES))), WEIGHTS_BP)
    one = half.share_of(best).estimate()
    assert (one.value, one.low, one.high) == pytest.approx((0.5, 0.5, 0.5))
    gap = (best - half).estimate()
    assert gap.value == pytest.approx(HITS_SP[0].mean() / 2) and gap.low is not None and gap.low > 0
    nothing = Value(0.0, np.zeros(RESAMPLES))
    assert half.share_of(nothing).estimate().value is None
    assert nothing.share_of(best).estimate().value == 0.0


def test_what_is_nowhere_has_no_figure() -> None:
    empty = Value.of(Measure(ratio(np.zeros(PICTURES), np.zeros(PICTURES))), WEIGHTS_BP)
    assert empty.estimate().value is None
    assert mean([empty, empty]).estimate().value is None


def test_values_of_a_library_are_kept_and_resamples_moved() -> None:
    statistic = ratio(HITS_SP[1], np.ones(PICTURES))
    one = Value.of(Measure(lambda w_BP: statistic(w_BP) - 0.1 * (len(w_BP) > 1), centred=True), WEIGHTS_BP)
    assert one.drawn_B.mean() == pytest.approx(one.value, abs=1e-9)


@pytest.mark.parametrize(
    ("prompt", "phrase", "told"),
    [
        ("a red car on the grass", "a red car", True),
        ("a red metallic car", "a red metallic car", True),
        ("a metallic car", "a red metallic car", False),
        ("a black cat and a cat", "a white cat", False),
        ("a drawing of a yellow truck", "a yellow leather truck", True),
        ("a red hot air balloon", "a red hot air balloon", True),
        ("a red car and an air balloon", "a red air balloon", False),
    ],
)
def test_captions_leave_out_colours(prompt: str, phrase: str, told: bool) -> None:
    scene = Scene(prompt, (128, 128), (Instance(phrase, box=Box(0.1, 0.1, 0.5, 0.5)),))
    labels = {"classes": list(CLASSES), "colours": list(COLOURS), "textures": list(TEXTURES)}
    sample = Sample(name="p", path=None, scene=scene, key="", marks_key="", pixels="")  # type: ignore[arg-type]
    asked = asked_scenes([sample], JudgeCard(kind="detector", id="x@0", labels=labels))[0]
    assert "colour" in asked.asked[0].attributes
    assert ("colour" in told_scene(asked, scene).asked[0].attributes) is told


def test_captions_of_the_toybox_tell_most_colours() -> None:
    """The grammar leaves out one colour in ten."""
    from scenewright.world import toybox

    labels = {"classes": list(CLASSES), "colours": list(COLOURS), "textures": list(TEXTURES)}
    card = JudgeCard(kind="detector", id="x@0", labels=labels)
    told = []
    for seed in range(60_500, 60_700):
        scene = toybox.draw(seed).scene
        sample = Sample(name="p", path=None, scene=scene, key="", marks_key="", pixels="")  # type: ignore[arg-type]
        asked = told_scene(asked_scenes([sample], card)[0], scene)
        told += ["colour" in one.attributes for one in asked.asked]
    assert 0.86 < np.mean(told) < 0.94
