"""The second restricted reader: one object with arrays, pickled by a foreign program, as its attributes.

Like `backbone.pickles` it gives meaning to a closed list of names and can call nothing else. Here these are
numpy's ways of writing arrays of plain numbers, and classes whose name the caller accepts, which become mere
holders of attributes. Tensors (features, 50 MB of a sample) and everything else of torch and numpy are
swallowed.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.backbone.pickles import HARMLESS, PLAIN, Inert
from scenewright.errors import ModelError, StorageError
from scenewright.scene.files import read_bytes

LARGEST_BYTES = 2**30
"""Larger files are not read."""

_RECONSTRUCT = ("numpy.core.multiarray", "numpy._core.multiarray")
_FROM_BUFFER = ("numpy.core.numeric", "numpy._core.numeric")
_COPYREG = ("copyreg", "copy_reg")


def read_object(path: Path, accepted: Callable[[str], bool]) -> tuple[str, dict[str, Any]]:
    """Class name and attributes of the one object in a pickle.

    `accepted` says which class names are holders of attributes, in whatever module. Values are plain Python
    objects and numpy arrays; what is swallowed is an `Inert`. Raises StorageError for a missing file,
    ModelError for one that names anything else, is damaged, or holds no such object.
    """
    content = read_bytes(path, LARGEST_BYTES)
    reader = _Reader(content, accepted, path)
    try:
        found = reader.load()
        if not isinstance(found, reader.holder):
            raise ModelError(f"{path} holds a {type(found).__name__}, not a sample", "is it another file?")
        return reader.name, {str(key): _plain(value) for key, value in vars(found).items()}
    except (ModelError, StorageError):
        raise
    except Exception as error:  # a damaged or hostile pickle can end in any of them
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} cannot be read: {reason}", "the file is damaged, incomplete, or no sample"
        ) from error


class _Reader(pickle.Unpickler):
    """Unpickler whose names are a closed list."""

    def __init__(self, content: bytes, accepted: Callable[[str], bool], path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._accepted, self._path = accepted, path
        self.name = ""
        self.holder: type = type("Holder", (), {})  # of this file alone: a file can change it

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle means; raises ModelError for a name outside the list."""
        if module in _RECONSTRUCT and name == "_reconstruct":
            return _NewArray()
        if module in _FROM_BUFFER and name == "_frombuffer":
            return _FromBuffer()
        if (module, name) == ("numpy", "dtype"):
            return _NewType()
        if (module, name) == ("_codecs", "encode"):
            return _Latin()
        if module in _COPYREG and name == "_reconstructor":
            return _Rebuild(self.holder)
        if module in ("builtins", "__builtin__") and name in PLAIN:
            return type("Plain", (Inert,), {})
        if (module, name) in (("collections", "defaultdict"), ("collections", "OrderedDict")):
            return type("Plain", (Inert,), {})
        if module.split(".")[0] in HARMLESS:
            return type("Plain", (Inert,), {})
        if self._accepted(name):
            self.name = self.name or name
            return self.holder
        raise ModelError(
            f"{self._path} wants to use {module}.{name} and was not opened", "samples hold arrays and texts"
        )

    def persistent_load(self, pid: Any) -> Any:
        """References to something outside have no meaning here."""
        raise pickle.UnpicklingError(f"unknown reference {str(pid)[:40]!r}")


class _Rebuild:
    """``copyreg._reconstructor``: an empty holder, or nothing."""

    __slots__ = ("_holder",)

    def __init__(self, holder: type) -> None:
        self._holder = holder

    def __call__(self, kind: Any, *_rest: Any) -> Any:
        return self._holder() if kind is self._holder else Inert()


class _Latin:
    """``_codecs.encode``, as old protocols write bytes."""

    __slots__ = ()

    def __call__(self, text: Any, code: Any = "latin1") -> bytes:
        if not isinstance(text, str) or code != "latin1":
            raise pickle.UnpicklingError("bytes in an unknown code")
        return text.encode("latin1")


class _NewType:
    """``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, code: Any, *_rest: Any) -> _Type:
        return _Type(str(code))


class _Type:
    """A number type that is being read: its code, and its byte order once that is known."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def dtype(self) -> np.dtype[Any]:
        """As numpy's; plain numbers only."""
        found = np.dtype(self.code)
        if found.kind not in "biuf" or self.order not in "<>|=":
            raise pickle.UnpicklingError(f"an array of {self.code}")
        return found.newbyteorder("S") if self._foreign() else found

    def _foreign(self) -> bool:
        """Whether the bytes of a number stand the other way round than on this machine."""
        return self.order in "<>" and self.order != ("<" if sys.byteorder == "little" else ">")


class _NewArray:
    """``_reconstruct``: an array that is filled afterwards."""

    __slots__ = ()

    def __call__(self, *_rest: Any) -> _Array:
        return _Array()


class _FromBuffer:
    """``_frombuffer``: an array of bytes that are there already."""

    __slots__ = ()

    def __call__(self, raw: Any, kind: Any, shape: Any, order: Any = "C", *_rest: Any) -> _Array:
        found = _Array()
        found.__setstate__((1, shape, kind, order == "F", raw))
        return found


class _Array:
    """An array that is being read."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, kind, fortran, raw = state
        if not isinstance(kind, _Type) or not isinstance(raw, (bytes, bytearray)):
            raise pickle.UnpicklingError("an array that is not of plain numbers")
        sides = tuple(int(side) for side in shape)
        dtype = kind.dtype()
        if min(sides, default=1) < 0 or math.prod(sides) * dtype.itemsize != len(raw):
            raise pickle.UnpicklingError(f"an array of shape {sides} with {len(raw)} bytes")
        self.value = np.frombuffer(raw, dtype).reshape(sides, order="F" if fortran else "C")


def _plain(value: Any, depth: int = 0) -> Any:
    """The value with numpy arrays in place of what stood for them while reading."""
    if depth > 20:
        raise pickle.UnpicklingError("nested too deeply")
    if isinstance(value, _Array):
        if value.value is None:
            raise pickle.UnpicklingError("an array without content")
        return value.value
    if isinstance(value, (list, tuple)):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    return value
