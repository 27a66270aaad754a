"""Foreign pickles give tensors and run nothing."""

from __future__ import annotations

import collections
import contextlib
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import pytest
import torch

from scenewright.backbone.pickles import Inert, read_checkpoint
from scenewright.backbone.weights import read_tensors
from scenewright.errors import ModelError


class Attack:
    """Pickles to a call of any function."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple:
        return self.call


def _attacks(trace: Path) -> list[Attack]:
    return [
        Attack(os.system, f"touch {trace}"),
        Attack(eval, f"open({str(trace)!r}, 'w')"),
        Attack(exec, f"open({str(trace)!r}, 'w')"),
        Attack(open, str(trace), "w"),
        Attack(getattr, "x", "upper"),
        Attack(pickle.loads, pickle.dumps(1)),
    ]


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("zipped", [True, False])
def test_attacks_are_refused_and_not_run(tmp_path: Path, index: int, zipped: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.ckpt"
    content = {"state_dict": {"w": torch.ones(2)}, "callbacks": _attacks(trace)[index]}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert not trace.exists()
    assert "safetensors" in caught.value.hint
    if zipped:
        assert "was not opened" in caught.value.message


def test_plain_pickle_attack_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(Attack(os.system, f"touch {tmp_path / 'trace'}")))
    with pytest.raises(ModelError):
        read_checkpoint(path)
    assert not (tmp_path / "trace").exists()


def test_real_checkpoints_with_trainer_objects_open(tmp_path: Path) -> None:
    module = types.ModuleType("pytorch_lightning")
    ran = []

    class ModelCheckpoint(dict):
        def __setstate__(self, state: object) -> None:
            ran.append(state)

    class Config:
        def __init__(self, value: object) -> None:
            ran.append(value)

        def __reduce__(self) -> tuple:
            return (Config, (1,), {"deep": [1, 2]}, iter([3]), iter([("k", 4)]))

    for kind in (ModelCheckpoint, Config):
        kind.__module__, kind.__qualname__ = "pytorch_lightning", kind.__name__
        setattr(module, kind.__name__, kind)
    sys.modules["pytorch_lightning"] = module
    path = tmp_path / "sd.ckpt"
    try:
        content = {
            "state_dict": {"w": torch.arange(6.0).reshape(2, 3).t(), "h": torch.ones(3, dtype=torch.float16)},
            "callbacks": {ModelCheckpoint: {"best": ModelCheckpoint(a=1)}},
            "config_dict": Config(0),
            "types": [dict, int, str],
            "default": collections.defaultdict(dict, {"a": {}}),
            "global_step": 840000,
        }
        torch.save(content, path)
        ran.clear()
        found = read_checkpoint(path)
    finally:
        del sys.modules["pytorch_lightning"]
    assert ran == []
    assert torch.equal(found["state_dict"]["w"], torch.arange(6.0).reshape(2, 3).t())
    assert found["state_dict"]["h"].dtype == torch.float16
    assert found["global_step"] == 840000
    assert isinstance(found["config_dict"], Inert)


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_all_kinds_come_back(tmp_path: Path, zipped: bool) -> None:
    base = torch.arange(24, dtype=torch.float32)
    content = {
        "view": base.view(4, 6)[1:3, ::2],
        "shared": base[:4],
        "scalar": torch.tensor(0.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)),
        "int": torch.tensor([1, 2]),
        "bool": torch.tensor([True, False]),
    }
    path = tmp_path / "w.bin"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    found = read_tensors(path)
    assert found.keys() == content.keys()
    for key, tensor in content.items():
        assert found[key].dtype == tensor.dtype
        assert torch.equal(found[key], tensor.detach()), key


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "list", "other zip"])
def test_damaged_files_say_so(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "w.ckpt"
    torch.save({"w": torch.ones(1000)}, path)
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("<html>sign in</html>")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "list":
        torch.save([torch.ones(1)], path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "b")
    with pytest.raises(ModelError, match=r"w\.ckpt"):
        read_checkpoint(path)


def test_tensor_outside_its_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    torch.save({"w": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    data = next(name for name in entries if "/data/" in name)
    entries[data] = entries[data][:8]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="cannot be read"):
        read_checkpoint(path)


def _zip(path: Path, program: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
    return path


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",  # asks for 2^31 remembered objects
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # bytes longer than any machine has
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}U\x0c__defaults__(I1\nI2\nts\x86b0}.",
        b"\x80\x02ccollections\nOrderedDict\nN}U\x05items]s\x86b0}.",
    ],
)
def test_programs_that_exhaust_or_change_the_reader_are_refused(tmp_path: Path, program: bytes) -> None:
    with pytest.raises(ModelError):
        read_checkpoint(_zip(tmp_path / "evil.pt", program))


def test_a_dictionary_cannot_be_given_methods(tmp_path: Path) -> None:
    program = b"\x80\x02ccollections\nOrderedDict\n)R}U\x05items]sb."
    assert list(read_checkpoint(_zip(tmp_path / "odd.pt", program)).items()) == []


def test_compressed_files_are_refused_before_they_unfold(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.pt", b"\x80\x02}." + bytes(10**7), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**5
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(path)


def test_any_damaged_byte_gives_tensors_or_one_clear_error(tmp_path: Path) -> None:
    path, rng = tmp_path / "x.pt", torch.Generator().manual_seed(0)
    for zipped in (True, False):
        torch.save(
            {"a": torch.ones(3), "b": {"c": torch.ones(2)}}, path, _use_new_zipfile_serialization=zipped
        )
        good = path.read_bytes()
        for _ in range(150):
            bad = bytearray(good)
            bad[int(torch.randint(len(good), (), generator=rng))] = int(torch.randint(256, (), generator=rng))
            path.write_bytes(bad)
            with contextlib.suppress(ModelError):
                read_checkpoint(path)
