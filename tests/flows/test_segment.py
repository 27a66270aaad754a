"""Label maps of pictures of any size: scale, padding, windows, batches, backgrounds, ids."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.flows import segment as flow
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_fit import Fit, tiles
from scenewright.flows.segment_options import SegmentOptions, context_names, spoken, wanted_classes
from scenewright.scene import Vocabulary
from scenewright.segment.winner import Background

NAMES = ("cat", "red car", "sky")


@pytest.fixture(scope="module")
def segmenter(tiny_model: str, tiny_segmenter: Path) -> PictureSegmenter:
    return PictureSegmenter.load(tiny_model.partition("+")[0], str(tiny_segmenter), device="cpu")


@pytest.fixture(scope="module")
def options() -> SegmentOptions:
    return SegmentOptions(vocabulary=wanted_classes(NAMES))


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3)).astype(np.uint8)
    return np.ascontiguousarray(rough.repeat(8, 0).repeat(8, 1)[:height, :width])


def test_the_shape_is_kept_and_padding_is_cut_off() -> None:
    fit = Fit.of((450, 150), 128, 32)
    assert fit.shown_wh == (222, 74) and fit.padded_wh == (224, 96)
    image = picture(450, 150)
    shown = fit.shown(image)
    assert (
        shown.shape == (96, 224, 3)
        and (shown[73] == shown[95]).all()
        and (shown[:74, 221] == shown[:74, 223]).all()
    )
    assert fit.crop(2) == (0.0, 0.0, 37.0, 111.0)
    assert Fit.of((150, 120), 128, 32) == Fit((150, 120), (150, 120), (160, 128))
    assert Fit.of((1, 1), 128, 32) == Fit((1, 1), (128, 128), (128, 128))
    assert Fit.of((9000, 10), 128, 32).padded_wh == (512, 32)


def test_windows_decide_every_pixel_once() -> None:
    for size in ((100, 70), (257, 64), (64, 64), (65, 64)):
        count = np.zeros(size[::-1], int)
        for one in tiles(size, 64, 0.25):
            x0, y0, x1, y1 = one.own
            count[y0:y1, x0:x1] += 1
            assert one.xyxy[0] <= x0 < x1 <= one.xyxy[2] and one.xyxy[1] <= y0 < y1 <= one.xyxy[3]
        assert (count == 1).all()


def test_sizes_may_be_mixed_and_company_changes_nothing(segmenter, options) -> None:
    images = [
        picture(128, 128),
        picture(100, 60, 1),
        picture(1, 1, 2),
        picture(128, 128, 3),
        picture(400, 300, 4),
    ]
    told: list[tuple[float, int]] = []
    together = segmenter.segment(images, options, lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)
    for image, found in zip(images, together, strict=True):
        alone = segmenter.segment([image], options)[0]
        assert found.labels.shape == image.shape[:2]
        assert set(np.unique(found.labels)) <= {1, 2, 3}
        assert (found.labels == alone.labels).mean() > 0.995
        assert np.abs(found.scores.astype(int) - alone.scores.astype(int)).max() < 700
        assert found.scores.min() >= 65535 // 3 - 1


def test_pieces_of_classes_give_the_same(segmenter, options, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(128, 96)
    whole = segmenter.segment([image], options)[0]
    monkeypatch.setattr(flow, "MOST", 1)
    pieces = segmenter.segment([image], options)[0]
    assert (whole.labels == pieces.labels).mean() > 0.999
    assert np.abs(whole.entropy.astype(int) - pieces.entropy.astype(int)).max() <= 70


def test_maps_are_the_softmax_of_the_logits(segmenter, options) -> None:
    """Against the network called by hand on a picture that needs neither scaling nor padding."""
    from scenewright.segment.see import class_texts, see

    image = picture(128, 128)
    found = segmenter.segment([image], options)[0]
    texts = class_texts(segmenter.backbone, list(NAMES), segmenter.config.templates)
    with torch.no_grad():
        logits = segmenter.net(see(segmenter.backbone, image[None], segmenter.layout), texts)
    share = torch.nn.functional.interpolate(logits, (128, 128), mode="bilinear", align_corners=False)[
        0
    ].softmax(0)
    top, label = share.max(0)
    assert (found.labels == label.numpy() + 1).mean() > 0.999
    assert np.abs(found.scores / 65535 - top.numpy()).max() < 1e-3


def test_a_panorama_in_windows(segmenter, options) -> None:
    image = picture(2000, 48)
    found = segmenter.segment([image], replace(options, tile=128))[0]
    assert found.labels.shape == (48, 2000) and set(np.unique(found.labels)) <= {1, 2, 3}
    small = picture(100, 90)
    assert (
        segmenter.segment([small], replace(options, tile=128))[0].labels
        == segmenter.segment([small], options)[0].labels
    ).all()


MEASURED = """
import resource, sys
import numpy as np
from scenewright.flows.segment import PictureSegmenter
from scenewright.flows.segment_options import SegmentOptions, wanted_classes
from scenewright.segment.winner import Background

def most_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

segmenter = PictureSegmenter.load(sys.argv[1], sys.argv[2], device="cpu")
asked = wanted_classes([f"thing {k}" for k in range(60)])
options = SegmentOptions(vocabulary=asked, background=Background("none"), tile=1000, batch=2)
small = np.zeros((1000, 1000, 3), np.uint8)
segmenter.segment([small], options)
before = most_mb()
wide = np.zeros((1000, 8000, 3), np.uint8)
found = segmenter.segment([wide], options)[0]
print(found.labels.shape, most_mb() - before)
"""


@pytest.mark.slow
def test_memory_of_a_panorama_is_bounded(tiny_model: str, tiny_segmenter: Path) -> None:
    """8 000 pixels wide, 60 classes: what it takes more than one window is the picture (3 bytes a pixel), its
    maps (6), 16 for every pixel of a batch of windows, and some room; the logits alone would be 1.9 GB."""
    command = [sys.executable, "-c", MEASURED, tiny_model.partition("+")[0], str(tiny_segmenter)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shape, _, more = done.stdout.strip().rpartition(" ")
    assert shape == "(1000, 8000)" and float(more) < (3 + 6) * 8 + 2 * 16 + 200


def test_backgrounds(segmenter) -> None:
    voc, image = Vocabulary.load("voc"), picture(128, 128)
    none = segmenter.segment([image], SegmentOptions(vocabulary=voc))[0]
    assert 0 not in none.labels
    strict = Background("threshold", 0.999)
    assert (
        segmenter.segment([image], SegmentOptions(vocabulary=voc, background=strict))[0].labels == 0
    ).all()
    named = SegmentOptions(vocabulary=voc, background=Background("names"), behind=("grass", "sky"))
    found = segmenter.segment([image], named)[0]
    both = wanted_classes((*(one.name for one in voc), "grass", "sky"))
    assert len(named.hidden) == 2 and len(both) == 22
    assert set(np.unique(found.labels)) <= {0, *(one.id for one in voc)}
    with pytest.raises(InputError, match="names of the background"):
        SegmentOptions(vocabulary=voc, behind=("grass",))


def test_thousands_of_classes(segmenter) -> None:
    names = [f"thing {k}" for k in range(600)]
    chosen = wanted_classes(names)
    assert chosen.ignore == 65535
    found = segmenter.segment([picture(64, 64)], SegmentOptions(vocabulary=chosen))[0]
    assert found.labels.min() >= 1 and found.labels.max() <= 600


def test_what_can_be_asked_for() -> None:
    assert wanted_classes(["cat", "hot dog"]).names == ("cat", "hot dog")
    part = wanted_classes(["sofa", "tv"], "voc")
    assert part.names == ("sofa", "tvmonitor") and part.background is not None
    for classes, vocabulary, words in (
        ((), "", "nothing was named"),
        (("cat", "Cat"), "", "named 2 times"),
        (("cat", "--"), "", "no letter"),
        (("unicorn",), "voc", "no class of the vocabulary"),
        ([f"c{k}" for k in range(60_001)], "", "at most"),
    ):
        with pytest.raises(InputError, match=words):
            wanted_classes(classes, vocabulary)
    for change in ({"tile": 3}, {"batch": 0}, {"overlap": 1.0}, {"size": -1}):
        with pytest.raises(InputError):
            SegmentOptions(vocabulary=wanted_classes(NAMES), **change)


def test_names_as_they_are_spoken() -> None:
    stuff, voc = Vocabulary.load("coco-stuff"), Vocabulary.load("voc")
    assert spoken(stuff.find("ceiling-tile")) == ("tile ceiling",)
    assert "tvmonitor" not in spoken(voc.find("tvmonitor")) and spoken(voc.find("cat"))[0] == "cat"
    assert all(not set(name) & set("-_/") or one.synonyms for one in stuff for name in spoken(one))
    assert "background" in context_names() and "sky" in context_names() and len(context_names()) == 40
