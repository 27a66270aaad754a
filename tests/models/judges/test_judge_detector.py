"""The detector's network and what is made of its maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.models.judges import detecting
from scenewright.models.judges.detecting import detect, find, input_size, picture_features
from scenewright.models.judges.detector import Detector, DetectorConfig, Maps, Readings, cell_middles
from scenewright.models.judges.layers import signal

SMALL = DetectorConfig(channels=(8, 8, 16, 16, 16), blocks=(1, 1, 1, 1), neck=16, prototypes=4, reader=16)
LABELS = {"classes": ("cat", "dog"), "colours": ("red", "blue", "green"), "textures": ("wooden",)}


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    made = Detector(SMALL, LABELS).eval()
    made.locate.bias.data[0] = 0.0  # as if it saw something everywhere
    return made


def pictures(*sizes_hw):
    rng = np.random.default_rng(0)
    return [rng.integers(256, size=(*size, 3), dtype=np.uint8) for size in sizes_hw]


def test_shapes_of_maps_and_readings(net):
    maps = net.maps(torch.zeros(2, 3, 64, 96))
    assert maps.near_BChw.shape == (2, 16, 16, 24) and maps.middle_Bhw.shape == (2, 16, 24)
    assert maps.boxes_Bhw4.shape == (2, 16, 24, 4) and maps.prototypes_BPyx.shape == (2, 4, 32, 48)
    assert maps.fine_BCyx.shape[-2:] == (32, 48)
    read = net.read(maps, torch.tensor([[[4.0, 4.0, 40.0, 30.0]]]).repeat(2, 3, 1))
    assert [one.shape[:2] for one in read] == [(2, 3)] * 6
    assert read.classes_BRK.shape[2] == 2 and read.textures_BRK.shape[2] == 2
    assert net.features(torch.zeros(2, 3, 64, 96)).shape == (2, 32)


def test_every_cell_is_inside_its_box(net):
    maps = net.maps(torch.randn(1, 3, 64, 64))
    middles = cell_middles(16, 16, torch.device("cpu"))
    assert middles[0, 0].tolist() == [2.0, 2.0] and middles[3, 5].tolist() == [22.0, 14.0]
    boxes = maps.boxes_Bhw4[0]
    assert (boxes[..., :2] < middles).all() and (middles < boxes[..., 2:]).all()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((128, 128), (128, 128)), ((512, 512), (128, 128)), ((96, 192), (64, 128)), ((500, 40), (128, 32))],
)
def test_pictures_of_any_size_become_inputs(size, wanted):
    assert input_size(size) == wanted


def test_what_is_found_does_not_depend_on_company(net):
    images = pictures((128, 128), (64, 96), (128, 128), (70, 50))
    together = find(net, images)
    for image, found in zip(images, together, strict=True):
        alone = find(net, [image])[0]
        assert torch.allclose(alone.boxes_N4, found.boxes_N4, atol=1e-4) and len(found.scores_N)
        assert found.masks_NHW.shape[1:] == image.shape[:2] and found.masks_NHW.dtype == torch.bool
        assert (found.scores_N.diff() <= 1e-6).all() and found.scores_N.max() <= 1
        assert found.boxes_N4.min() >= 0 and found.boxes_N4.max() <= 1


def test_findings_speak_in_labels(net):
    image = pictures((64, 64))[0]
    found, things = find(net, [image])[0], detect(net, [image])[0]
    assert len(things) == len(found.scores_N)
    for k, one in enumerate(things):
        assert one.category == LABELS["classes"][found.classes_N[k]]
        assert one.attributes["colour"] == LABELS["colours"][found.colours_N[k]]
        assert ("texture" in one.attributes) == (found.textures_N[k] >= 0)
        assert one.score == pytest.approx(float(found.scores_N[k]))
        if one.mask is not None:
            assert (one.mask.array() == found.masks_NHW[k].numpy()).all()
    assert all(one.mask is None for one in detect(net, [image], masks=False)[0])
    assert len(detect(net, [image], least=0.9)[0]) <= len(things)


def test_read_only_pictures(net):
    image = pictures((64, 64))[0]
    image.setflags(write=False)
    assert len(find(net, [image])) == 1 and picture_features(net, [image]).shape == (1, 32)


def maps_with(boxes, classes):
    """Maps of a 64 px picture in which the middle cells of `boxes` see exactly these, and a reader for it."""
    middle = torch.full((1, 16, 16), -20.0)
    seen = torch.zeros(1, 16, 16, 4)
    prototypes = torch.ones(1, 1, 32, 32)
    for number, box in enumerate(boxes):
        x, y = int((box[0] + box[2]) / 8), int((box[1] + box[3]) / 8)
        middle[0, y, x] = 4.0 - number
        seen[0, y, x] = torch.tensor(box)
    return Maps(torch.zeros(1, 16, 16, 16), torch.zeros(1, 8, 32, 32), middle, seen, prototypes), classes


class Reader:
    """Reads what the test says, in the order of the scores."""

    def __init__(self, classes):
        self.classes = classes

    def read(self, maps, boxes):
        rows = boxes.shape[1]
        kinds = torch.zeros(1, rows, 2)
        for number, kind in enumerate(self.classes):
            kinds[0, number, kind] = 20.0
        zeros = torch.zeros(1, rows, 2)
        return Readings(kinds, zeros, zeros, torch.full((1, rows), 20.0), boxes, torch.ones(1, rows, 1))


@pytest.mark.parametrize(
    ("classes", "kept"),
    [((0, 0, 0), [0, 2]), ((0, 1, 0), [0, 1, 2])],  # the second overlaps the first: IoU 0.6
)
def test_of_two_boxes_on_a_thing_one_is_kept(classes, kept):
    boxes = [[0.0, 0.0, 24.0, 40.0], [0.0, 10.0, 24.0, 50.0], [32.0, 32.0, 60.0, 64.0]]
    maps, classes = maps_with(boxes, classes)
    found = next(detecting._pick(Reader(classes), maps, [(64, 64)], 0.05, True))
    assert (found.boxes_N4 * 64).tolist() == [boxes[k] for k in kept]
    assert found.classes_N.tolist() == [classes[k] for k in kept]
    for mask_HW, k in zip(found.masks_NHW, kept, strict=True):  # prototypes of ones: the whole box
        x0, y0, x1, y1 = (int(v) for v in boxes[k])
        assert mask_HW[y0:y1, x0:x1].all() and mask_HW.sum() <= (x1 - x0 + 1) * (y1 - y0 + 1)


def test_nothing_to_find():
    maps, _ = maps_with([], ())
    found = next(detecting._pick(Reader(()), maps, [(64, 64)], 0.05, True))
    assert len(found.scores_N) == 0 and found.masks_NHW.shape == (0, 64, 64)


def test_features_are_means_of_the_trunk(net):
    image = pictures((128, 128))[0]
    levels = net.trunk(signal(torch.from_numpy(image)[None]))
    wanted = torch.cat([levels[2].mean((2, 3)), levels[3].mean((2, 3))], 1)
    assert np.allclose(picture_features(net, [image]), wanted.detach().numpy(), atol=1e-5)
