"""Mean IoU of label maps against ten lines of loops."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import estimate
from scenewright.evaluate.semantic import confusion, semantic_score
from scenewright.scene import IGNORE, Vocabulary

FARM = Vocabulary.from_json({"name": "farm", "classes": ["cow", "barn", "sky"]}, "farm", "farm")
NAMES = ("background", "cow", "barn", "sky")


def one(score):
    """Mean IoU of the whole set."""
    return estimate(score.mean_iou, score.pictures, resamples=20).value


def naive(maps, ids, ignore):
    """Mean over classes of right pixels by pixels that are or are called so, all pictures together."""
    right, either = dict.fromkeys(ids, 0), dict.fromkeys(ids, 0)
    for truth, predicted in maps:
        for true, said in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
            if true in ignore:
                continue
            right[true] += true == said
            for name in {true, said} & set(ids):
                either[name] += 1
    return np.mean([right[name] / either[name] for name in ids if either[name]])


def test_no_pictures():
    score = semantic_score([], FARM)
    assert one(score) is None and score.pictures == 0
    assert score.class_iou() == dict.fromkeys(NAMES)
    assert score.confusion.shape == (4, 5) and score.confusion.dtype == np.int64


def test_a_picture_to_be_ignored_altogether():
    empty = np.full((2, 2), 255)
    assert one(semantic_score([(empty, np.ones((2, 2), int))], FARM)) is None


def test_equal_to_loops():
    rng = np.random.default_rng(0)
    values = np.array([0, 1, 2, 3, 255, IGNORE])
    maps = [
        (rng.choice(values, (9, 7)), rng.choice([0, 1, 2, 3, 77], (9, 7), p=(0.3, 0.3, 0.2, 0.1, 0.1)))
        for _ in range(12)
    ]
    score = semantic_score(iter(maps), FARM)
    assert one(score) == pytest.approx(naive(maps, [0, 1, 2, 3], {255, IGNORE}))
    without = semantic_score(maps, FARM, background=False)
    assert without.names == NAMES[1:]
    assert one(without) == pytest.approx(naive(maps, [1, 2, 3], {0, 255, IGNORE}))
    counted = sum(int((truth < 4).sum()) for truth, _ in maps)
    assert score.confusion.sum() == counted == score.truth_PK.sum()
    right = sum(int((truth == said).sum()) for truth, said in maps)
    accuracy = estimate(score.pixel_accuracy, 12, resamples=20)
    assert accuracy.value == pytest.approx(right / counted)
    assert accuracy.low < accuracy.value < accuracy.high


def test_the_mean_over_some_classes():
    rng = np.random.default_rng(1)
    score = semantic_score([(rng.integers(0, 3, (9, 7)), rng.integers(0, 3, (9, 7)))], FARM)
    each = score.class_iou()
    once = np.ones((1, 1))
    assert score.mean_iou_of(NAMES)(once) == pytest.approx(score.mean_iou(once))
    assert score.mean_iou_of(["cow", "barn"])(once) == pytest.approx((each["cow"] + each["barn"]) / 2)
    assert score.mean_iou_of(["cow", "sky", "moon"])(once) == pytest.approx(each["cow"])  # no sky anywhere
    assert np.isnan(score.mean_iou_of(["sky"])(once))


def test_the_data_set_counts_not_the_picture():
    """One pixel missed in a picture of its own, eight right in another: 8 of 9, not the mean of 0 and 1."""
    truth = [np.zeros((4, 4), int), np.zeros((4, 4), int)]
    truth[0][0, 0] = 1
    truth[1][:2, :] = 1
    said = [np.zeros((4, 4), int), truth[1]]
    assert semantic_score(zip(truth, said, strict=True), FARM).class_iou()["cow"] == pytest.approx(8 / 9)


def test_classes_that_are_neither_there_nor_predicted_do_not_count():
    truth, said = np.array([[1, 1]]), np.array([[1, 3]])
    score = semantic_score([(truth, said)], FARM)
    assert score.class_iou() == {"background": None, "cow": 0.5, "barn": None, "sky": 0.0}
    assert one(score) == pytest.approx(0.25)


def test_a_prediction_of_nothing_known_is_wrong():
    matrix = confusion(np.array([[1, 1, 1]]), np.array([[1, 255, 9]]), [1, 2], [255])
    assert matrix.tolist() == [[1, 0, 2], [0, 0, 0]]


def test_a_class_with_the_number_of_ignore_is_a_class():
    wide = Vocabulary.from_json({"name": "w", "classes": [{"name": "x", "id": 255}]}, "w", "w")
    score = semantic_score([(np.array([[255]]), np.array([[255]]))], wide)
    assert score.class_iou()["x"] == 1.0


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), r"picture 0: expected label maps of one size"),
        (np.full((2, 2), 7), np.zeros((2, 2), int), "picture 0: the true labels hold 7"),
    ],
)
def test_errors(truth, said, message):
    with pytest.raises(InputError, match=message):
        semantic_score([(truth, said)], FARM)


def test_a_resample_repeats_pictures():
    rng = np.random.default_rng(1)
    maps = [(rng.integers(0, 4, (5, 5)), rng.integers(0, 4, (5, 5))) for _ in range(6)]
    drawn = np.array([2.0, 0, 1, 0, 3, 0])
    value = semantic_score(maps, FARM).mean_iou(drawn[None])[0]
    repeated = [one for one, number in zip(maps, drawn, strict=True) for _ in range(int(number))]
    assert value == pytest.approx(one(semantic_score(repeated, FARM)))
