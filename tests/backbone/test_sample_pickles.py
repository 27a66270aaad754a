"""The restricted reader of pickled samples: arrays of every protocol, and nothing that runs."""

from __future__ import annotations

import collections
import os
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.backbone.pickles import Inert
from scenewright.backbone.sample_pickles import read_object
from scenewright.errors import ModelError, StorageError


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> type:
    """The published class, in a module called `data`, as its program pickles it."""
    made = type("PromptsMultiClassSegmentationSample", (), {"__module__": "data"})
    module = types.ModuleType("data")
    module.PromptsMultiClassSegmentationSample = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "data", module)
    return made


def accepted(name: str) -> bool:
    return name.endswith("Sample")


def saved(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_texts_and_lists_come_as_they_were(kind, tmp_path: Path, protocol: int) -> None:
    rng = np.random.default_rng(0)
    sample = kind()
    sample.image = rng.integers(0, 256, (6, 4, 3), dtype=np.uint8)
    sample.masks = [rng.integers(0, 2, (6, 4)), np.asfortranarray(rng.random((6, 4)).astype(np.float32))]
    sample.labels, sample.camera_parameters = ["cat", "dog"], None
    sample.wide, sample.flags = np.arange(3, dtype=">i4"), np.array([True, False])
    sample.unet_features = collections.defaultdict(list, {"low": [torch.randn(1, 8, 2, 2)]})
    name, held = read_object(saved(tmp_path / "a.pk", sample, protocol), accepted)
    assert name == "PromptsMultiClassSegmentationSample"
    assert np.array_equal(held["image"], sample.image) and held["image"].dtype == np.uint8
    assert all(np.array_equal(a, b) for a, b in zip(held["masks"], sample.masks, strict=True))
    assert held["labels"] == ["cat", "dog"] and held["camera_parameters"] is None
    assert held["wide"].tolist() == [0, 1, 2] and held["flags"].tolist() == [True, False]
    assert isinstance(held["unet_features"], Inert)


def test_old_names_of_numpy_are_understood(kind, tmp_path: Path) -> None:
    sample = kind()
    sample.image = np.arange(4)
    content = pickle.dumps(sample, 3)
    assert b"numpy._core.multiarray" in content
    (tmp_path / "old.pk").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_object(tmp_path / "old.pk", accepted)[1]["image"].tolist() == [0, 1, 2, 3]


class Hostile:
    """Pickles as a call."""

    def __init__(self, call, *given) -> None:
        self.call, self.given = call, given

    def __reduce__(self):
        return self.call, self.given


@pytest.mark.parametrize("call", [os.system, eval, exec, open, __import__, getattr, os.remove])
def test_nothing_is_called(kind, tmp_path: Path, call) -> None:
    victim = tmp_path / "victim"
    victim.write_text("here")
    sample = kind()
    sample.labels = [Hostile(call, str(victim))]
    with pytest.raises(ModelError, match="wants to use"):
        read_object(saved(tmp_path / "bad.pk", sample), accepted)
    assert victim.read_text() == "here"


def test_names_of_harmless_libraries_do_nothing(kind, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    sample = kind()
    sample.labels = ["cat"]
    sample.swallowed = Hostile(np.save, str(victim), 1)
    _, held = read_object(saved(tmp_path / "a.pk", sample), accepted)
    assert held["labels"] == ["cat"] and not victim.exists()


@pytest.mark.parametrize(
    "bad",
    [
        np.array([object()], dtype=object),
        np.array(["text"]),
        np.zeros(2, dtype=[("a", "i4")]),
        np.array([1 + 2j]),
    ],
)
def test_arrays_of_anything_but_plain_numbers_are_refused(kind, tmp_path: Path, bad) -> None:
    sample = kind()
    sample.masks = [bad]
    with pytest.raises(ModelError, match=r"array|cannot be read|wants to use"):
        read_object(saved(tmp_path / "a.pk", sample), accepted)


def test_files_that_are_no_samples(kind, tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.pk", kind()).read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:-1]):
        (tmp_path / "cut.pk").write_bytes(content)
        with pytest.raises(ModelError, match="cannot be read"):
            read_object(tmp_path / "cut.pk", accepted)
    with pytest.raises(ModelError, match="holds a list, not a sample"):
        read_object(saved(tmp_path / "list.pk", [1, 2]), accepted)
    with pytest.raises(ModelError, match=r"wants to use collections.Counter"):
        read_object(saved(tmp_path / "other.pk", collections.Counter()), accepted)
    with pytest.raises(StorageError, match="there is no file"):
        read_object(tmp_path / "none.pk", accepted)


def test_a_shape_that_does_not_fit_its_bytes_is_refused(kind, tmp_path: Path) -> None:
    sample = kind()
    sample.image = np.zeros((3, 5), np.uint8)
    content = pickle.dumps(sample, 2)
    (tmp_path / "a.pk").write_bytes(content.replace(b"K\x03K\x05", b"K\xffK\xff"))
    with pytest.raises(ModelError, match="an array of shape"):
        read_object(tmp_path / "a.pk", accepted)


def test_attributes_of_one_file_do_not_reach_another(kind, tmp_path: Path) -> None:
    one, other = kind(), kind()
    one.labels, other.masks = ["cat"], []
    read_object(saved(tmp_path / "a.pk", one), accepted)
    assert set(read_object(saved(tmp_path / "b.pk", other), accepted)[1]) == {"masks"}
