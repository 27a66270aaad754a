"""Label files of segmentation datasets as ids of a vocabulary, whatever numbers and formats they come in.

=================  =========================================================================================
codec              what the file holds
=================  =========================================================================================
ids                the vocabulary's own ids (VOC palettes, ADE20K-150, Pascal-Context-59 of the official
                   download), 8 or 16 bits, PNG or TIFF
contiguous         0 to K - 1 in the vocabulary's order, prepared by other projects; 255 or 65535 ignored
coco-codes         category ids of COCO-Stuff minus 1, 0 to 181 with gaps, 255 ignored
coco-matlab        MATLAB, variable ``S``: category ids of COCO-Stuff, 0 ignored (COCO-Stuff 10k)
voc-matlab         MATLAB, ``GTcls.Segmentation``: ids of VOC (Semantic Boundaries Dataset)
context-matlab     MATLAB, ``LabelMap``: 1 to 459 (Pascal-Context as downloaded), for 459 classes or for 59
ade-segments       PNG in colours: red / 10 * 256 + green is the number of a name that the picture's own JSON
                   file, or ``index_ade20k.mat`` beside, tells (ADE20K full)
=================  =========================================================================================

All give uint16 [H, W] with `IGNORE` wherever nothing is known or nothing counts. A number that is no class
is an error. Sources: the readmes of the downloads; Caesar et al. 2018, Zhou et al. 2017, Everingham et al.
2010, Mottaghi et al. 2014, Hariharan et al. 2011.

Letters: H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, StorageError
from scenewright.evaluate.open_protocols import published_names
from scenewright.scene import IGNORE
from scenewright.scene.files import read_bytes, read_json
from scenewright.scene.io import read_image, read_labels
from scenewright.scene.label_space import load
from scenewright.scene.vocabulary import fold

Labels = NDArray[np.uint16]

CONTEXT_NAMES = {"diningtable": "table"}
"""The one class of Pascal-Context-59 that has another name among the 459."""

UNLABELLED = (255, 65535)
"""Numbers that prepared files ignore."""


def read_label_file(path: Path, codec: str, vocabulary: str) -> Labels:
    """A label file as ids of `vocabulary`, `IGNORE` where nothing counts.

    Raises StorageError (missing, cut off, damaged), InputError (unknown codec, a number that is no class).
    """
    if codec not in CODECS:
        raise InputError(f"unknown kind of label file {codec!r}", f"known are {', '.join(CODECS)}")
    numbers_HW, table = CODECS[codec](path, vocabulary)
    found_HW = table[numbers_HW]
    if (strange_HW := found_HW == _STRANGE).any():
        number = int(numbers_HW[strange_HW][0])
        raise InputError(
            f"{path} holds the number {number}, which is no class of {vocabulary!r}",
            "is it a label map of another dataset, or prepared in another way?",
        )
    return found_HW.astype(np.uint16)


_STRANGE = -1
"""Marks, in tables, numbers that no file of that kind may hold."""

Table = NDArray[np.int64]


def _table(pairs: Iterable[tuple[int, int]], ignored: Iterable[int]) -> Table:
    """Number in the file -> id, `IGNORE` or `_STRANGE`."""
    found = np.full(IGNORE + 1, _STRANGE, np.int64)
    for number, id in pairs:
        found[number] = id
    for number in ignored:
        if found[number] == _STRANGE:
            found[number] = IGNORE
    return found


def _ids(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    return read_labels(path), own_table(vocabulary)


@cache
def own_table(vocabulary: str) -> Table:
    """Ids, the background's included, to themselves; what the vocabulary ignores to `IGNORE`."""
    known = load(vocabulary)
    ids = [one.id for one in known] + ([known.background.id] if known.background else [])
    return _table([(id, id) for id in ids], (known.ignore, *UNLABELLED))


def _contiguous(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    known = load(vocabulary)
    ignored = (len(known), *UNLABELLED)  # some projects write the number of classes for what is ignored
    return read_labels(path), _table(((k, one.id) for k, one in enumerate(known)), ignored)


def _coco_codes(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    return read_labels(path), _coco_table(vocabulary, -1, (255,))


def _coco_matlab(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    return _whole(read_matlab(path), ("S",), path), _coco_table(vocabulary, 0, (0,))


@cache
def _coco_table(vocabulary: str, shift: int, ignored: tuple[int, ...]) -> Table:
    """COCO-Stuff's category ids; those of no class (the gaps, "other") are ignored."""
    codes = [(int(one.code), one.id) for one in load(vocabulary) if one.code is not None]
    gaps = range(max(0, 1 + shift), 184 + shift)
    return _table(((code + shift, id) for code, id in codes), (*gaps, *ignored))


def _voc_matlab(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    return _whole(read_matlab(path), ("GTcls", "Segmentation"), path), own_table(vocabulary)


def _context_matlab(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    return _whole(read_matlab(path), ("LabelMap",), path), context_table(vocabulary)


@cache
def context_table(vocabulary: str) -> Table:
    """The 459 numbers of Pascal-Context: to the 459 classes, or to the 59 (the others are background)."""
    known, every = load(vocabulary), load("pascal-context-459")
    if known.background is None:
        return _table(((one.id + 1, one.id) for one in every), (0,))
    names = {fold(CONTEXT_NAMES.get(one.name, one.name)): one.id for one in known}
    pairs = ((one.id + 1, names.get(fold(one.name), known.background.id)) for one in every)
    return _table([*pairs, (0, known.background.id)], ())


def _ade_segments(path: Path, vocabulary: str) -> tuple[Labels, Table]:
    colours_HW3 = read_image(path).astype(np.int64)
    numbers_HW = colours_HW3[..., 0] // 10 * 256 + colours_HW3[..., 1]
    names = ade_names(path)
    lacking = set(np.unique(numbers_HW).tolist()) - set(names) - {0}
    if lacking:
        raise InputError(
            f"{path}: no file says what the class number {min(lacking)} is",
            "the JSON file of the picture, or index_ade20k.mat in the dataset's folder, does",
        )
    pairs = ((number, ade_class(name, vocabulary)) for number, name in names.items())
    return numbers_HW.astype(np.uint16), _table(pairs, (0,))


def ade_names(path: Path) -> Mapping[int, str]:
    """Class number -> name for a picture of the full ADE20K, from its JSON file, else from the index.

    Raises InputError if there is neither.
    """
    beside = path.with_name(path.name.removesuffix("_seg.png") + ".json")
    if beside.is_file():
        document = read_json(beside)
        try:
            objects = document["annotation"]["object"]
            return {int(one["name_ndx"]): str(one["name"]) for one in objects}
        except (KeyError, TypeError, ValueError) as fault:
            raise InputError(
                f"{beside}: expected annotation.object with name and name_ndx: {fault}"
            ) from fault
    for folder in path.parents:
        if (folder / "index_ade20k.mat").is_file():
            return _ade_index(folder / "index_ade20k.mat")
    raise InputError(f"{path} has neither {beside.name} nor an index_ade20k.mat above it")


@lru_cache(maxsize=4)
def _ade_index(path: Path) -> Mapping[int, str]:
    found = read_matlab(path).get("index")
    names = found.get("objectnames") if isinstance(found, dict) else None
    if names is None:
        raise InputError(f"{path} has no index.objectnames")
    return {k + 1: str(name) for k, name in enumerate(np.atleast_1d(names))}


@cache
def ade_class(name: str, vocabulary: str) -> int:
    """The id of a class called "door, double door" in ADE20K's files; `IGNORE` for one that is not listed."""
    place = _ade_places().get(_plain(name))
    return IGNORE if place is None else load(vocabulary).classes[place].id


@cache
def _ade_places() -> Mapping[str, int]:
    """Full name in the files -> place in the list of 847 classes."""
    return {_plain(name): k for k, name in enumerate(published_names("ade20k-full"))}


def _plain(name: str) -> str:
    return ",".join(" ".join(word.split()) for word in name.casefold().split(","))


CODECS: dict[str, Callable[[Path, str], tuple[Labels, Table]]] = {
    "ids": _ids,
    "contiguous": _contiguous,
    "coco-codes": _coco_codes,
    "coco-matlab": _coco_matlab,
    "voc-matlab": _voc_matlab,
    "context-matlab": _context_matlab,
    "ade-segments": _ade_segments,
}
"""By name: a label file's numbers [H, W], and what each number means."""


# --- MATLAB ------------------------------------------------------------------------------------------------


def read_matlab(path: Path) -> dict[str, Any]:
    """The variables of a MATLAB file, structures as dictionaries.

    Raises StorageError (missing, cut off), InputError (no such file, or one of version 7.3).
    """
    from io import BytesIO

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    content = read_bytes(path)
    if content[:128].startswith(b"MATLAB 7.3"):
        raise InputError(f"{path} is a MATLAB file of version 7.3", "save it again with -v7")
    try:
        found: dict[str, Any] = loadmat(BytesIO(content), simplify_cells=True)
    except (MatReadError, ValueError, TypeError, EOFError, OSError, KeyError, IndexError) as fault:
        if content[:6] != b"MATLAB":
            raise InputError(f"{path} is no MATLAB file", "a label map in .mat form was expected") from fault
        raise StorageError(f"{path} is cut off or damaged: {fault}", "copy or download it again") from fault
    except Exception as fault:  # zlib and others, by the library's version
        raise StorageError(f"{path} is cut off or damaged: {fault}", "copy or download it again") from fault
    return found


def _whole(variables: Mapping[str, Any], keys: tuple[str, ...], path: Path) -> Labels:
    """The label map under `keys`. Raises InputError if there is none."""
    value: Any = variables
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    found = np.asarray(value) if value is not None else None
    if found is None or found.ndim != 2 or not np.issubdtype(found.dtype, np.number):
        raise InputError(f"{path} has no label map {'.'.join(keys)!r}", f"it has {', '.join(variables)}")
    if found.size and (found.min() < 0 or found.max() > IGNORE or (found != found.astype(np.int64)).any()):
        raise InputError(f"{path}: {'.'.join(keys)} holds numbers that are no classes")
    return found.astype(np.uint16)
