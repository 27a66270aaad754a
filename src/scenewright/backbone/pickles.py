"""A reader for torch pickles that cannot run anything.

A pickle is a program: it may name any function and have it called on loading. Here only a fixed list of names
has a meaning: rebuilding a tensor, and plain containers. Names from libraries that real checkpoints mention
(training loops, configuration objects, numpy scalars) become inert marks; every other name refuses the file.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.errors import ModelError

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
"""Names of torch's typed storages and the number type of each."""

HARMLESS = ("pytorch_lightning", "lightning", "lightning_fabric", "omegaconf", "numpy", "typing", "torch")
"""Libraries whose objects are replaced by inert marks."""

PLAIN = (
    *("dict", "list", "tuple", "set", "frozenset", "slice", "range", "xrange"),
    *("int", "long", "float", "complex", "bool", "str", "unicode", "bytes", "object"),
)
"""Built-in types that a file may mention."""


class Inert:
    """Stands for an object of a foreign class: takes everything, keeps nothing, does nothing."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __call__(self, *_args: Any, **_kwargs: Any) -> Inert:
        return self

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        """Swallow an item of a list-like object."""

    def extend(self, _items: Any) -> None:
        """Swallow items of a list-like object."""


class _Dict(dict[Any, Any]):
    """Stands for an ordered dictionary; a file can fill it, but not give it attributes."""

    __slots__ = ()

    def __setstate__(self, _state: Any) -> None:
        pass


class _RebuildTensor:
    """Makes a tensor of a storage. An object without attributes: a file could change those of a function."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: int, size: Any, stride: Any, *_rest: Any) -> Tensor:
        if not isinstance(storage, Tensor):
            raise pickle.UnpicklingError("a tensor without storage")
        return torch.as_strided(storage, tuple(size), tuple(stride), offset)


class _RebuildParameter:
    """Takes the tensor out of a parameter."""

    __slots__ = ()

    def __call__(self, data: Any, *_rest: Any) -> Any:
        return data


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The dictionary in a `.ckpt`, `.pt`, `.pth` or `.bin` file, tensors on the CPU.

    Tensors, numbers, texts and containers of them come as they are; objects of training libraries as `Inert`.
    Raises ModelError for a file that names anything else, is damaged, or holds no dictionary.
    """
    try:
        content = _read_zip(path) if zipfile.is_zipfile(path) else _read_old(path)
    except ModelError:
        raise
    except (pickle.UnpicklingError, AttributeError, IndexError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} is not a checkpoint of tensors: {reason}", _HINT) from error
    except Exception as error:  # a damaged or hostile pickle can end in any of them
        reason = str(error) or type(error).__name__
        raise ModelError(f"{path} cannot be read: {reason}", "the file is damaged or incomplete") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a dictionary of tensors, found {type(content).__name__}")
    return content


_HINT = "convert it to .safetensors where you trust its source"


class _Reader(pickle.Unpickler):
    """Unpickler whose names are a closed list and whose storages come from `archive`."""

    def __init__(self, content: bytes, archive: zipfile.ZipFile, prefix: str, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self._archive, self._prefix, self._path = archive, prefix, path
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle means; raises ModelError for a name outside the list."""
        if module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
            return _RebuildTensor() if name == "_rebuild_tensor_v2" else _RebuildParameter()
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return torch.uint8
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        if (module, name) == ("torch", "Size"):
            return tuple
        if module in ("builtins", "__builtin__") and name in PLAIN:
            return Inert
        if (module, name) in (
            ("collections", "defaultdict"),
            ("copyreg", "_reconstructor"),
            ("copy_reg", "_reconstructor"),
        ):
            return Inert
        if module.split(".")[0] in HARMLESS:
            return Inert
        raise ModelError(f"{self._path} wants to use {module}.{name} and was not opened", _HINT)

    def persistent_load(self, pid: Any) -> Tensor:
        """The flat tensor behind a storage reference of torch's zip format."""
        kind, dtype, key, _device, _count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError(f"unknown reference {kind!r}")
        if key not in self._storages:
            raw = bytearray(self._archive.read(f"{self._prefix}/data/{key}"))
            self._storages[key] = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
        return self._storages[key]


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ModelError(f"{path} is a zip file without torch's data.pkl")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ModelError(f"{path} is a compressed zip file, which torch never writes", _HINT)
        prefix = pickles[0].removesuffix("/data.pkl")
        if f"{prefix}/byteorder" in archive.namelist() and archive.read(f"{prefix}/byteorder") != b"little":
            raise ModelError(f"{path} was written on a big-endian machine", _HINT)
        return _Reader(archive.read(pickles[0]), archive, prefix, path).load()


def _read_old(path: Path) -> Any:
    """The format before torch 1.6, through torch's own reader of tensors only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about pickle protocols; what it cannot read it refuses
        return torch.load(path, map_location="cpu", weights_only=True)
