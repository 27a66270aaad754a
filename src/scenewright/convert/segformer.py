"""SegFormers as mmsegmentation saved them, to transformers' folders.

Xie et al., "SegFormer", NeurIPS 2021 (arXiv 2105.15203). Two code bases wrote such files with the same
encoder and heads of other names and order: NVIDIA's joins the levels from the deepest on (as transformers
does), that of DAFormer (and so DGInStyle's) from the finest on: its fusing layer is turned
round here. Files of training loops with a wrapper around the network (``model.``, a frozen copy
``imnet_model.``) are read as the network. Other networks of those code bases are refused by their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from scenewright.backbone.parts import check_keys
from scenewright.convert.ldm import listed, size_of
from scenewright.convert.split import mentions, read_entry
from scenewright.errors import ModelError
from scenewright.models.segformer import Preparation, SegformerSize, Segmenter, fresh
from scenewright.scene.label_space import LabelSpace

ENTRIES = ("state_dict", "model")
"""Entries of a training checkpoint that may hold the weights."""

IMAGENET = Preparation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""What these networks expect of pictures."""

MIT_HEADS: dict[tuple[int, ...], tuple[int, ...]] = {
    (32, 64, 160, 256): (1, 2, 5, 8),
    (64, 128, 320, 512): (1, 2, 5, 8),
}
"""Attention heads of the published encoders B0 and B1 to B5, which the weights do not tell."""

OTHERS = (
    ("HRDA", r"decode_head\.(head|scale_attention)\."),
    ("DAFormer", r"decode_head\.(fuse_layer|embed_layers)\."),
    ("DeepLabV2", r"(backbone\.layer1\.|decode_head\.conv2d_list\.)"),
)
"""Networks of the same code bases that are no SegFormers, and what only they have."""

_BLOCK = {
    "norm1": "layer_norm_1", "norm2": "layer_norm_2", "attn.q": "attention.self.query",
    "attn.k": "attention.self.key", "attn.v": "attention.self.value", "attn.sr": "attention.self.sr",
    "attn.norm": "attention.self.layer_norm", "attn.proj": "attention.output.dense", "mlp.fc1": "mlp.dense1",
    "mlp.fc2": "mlp.dense2", "mlp.dwconv.dwconv": "mlp.dwconv.dwconv",
}  # fmt: skip
_HEAD = {"linear_fuse.conv": "linear_fuse", "linear_fuse.bn": "batch_norm", "linear_pred": "classifier"}
_NOW = (
    (r"encoder\.patch_embeddings\.(\d+)\.", r"stages.\1.patch_embeddings."),
    (r"encoder\.block\.(\d+)\.", r"stages.\1.blocks."),
    (r"encoder\.layer_norm\.(\d+)\.", r"stages.\1.layer_norm."),
    (r"attention\.self\.query", "attention.q_proj"),
    (r"attention\.self\.key", "attention.k_proj"),
    (r"attention\.self\.value", "attention.v_proj"),
    (r"attention\.self\.sr", "attention.sequence_reduction.sequence_reduction"),
    (r"attention\.self\.layer_norm", "attention.sequence_reduction.layer_norm"),
    (r"attention\.output\.dense", "attention.o_proj"),
    (r"mlp\.dense(\d)", r"mlp.fc\1"),
    (r"layer_norm_1", "layernorm_before"),
    (r"layer_norm_2", "layernorm_after"),
    (r"decode_head\.linear_c\.", "decode_head.linear_projections."),
)
"""Names in transformers' files, and what newer releases of it call the modules."""


def is_mmseg(place: Path) -> bool:
    """Whether a file holds a segmenter of mmsegmentation, without reading its weights."""
    return place.is_file() and mentions(place, b"decode_head.")


def read_segformer(path: Path, *, heads: Sequence[int] = (), vocabulary: str = "cityscapes") -> Segmenter:
    """The SegFormer in a checkpoint of mmsegmentation, in float32; see `segmenter_of`."""
    return segmenter_of(read_entry(path, ENTRIES)[0], str(path), heads=heads, vocabulary=vocabulary)


def segmenter_of(
    state: Mapping[str, Tensor], source: str, *, heads: Sequence[int] = (), vocabulary: str = "cityscapes"
) -> Segmenter:
    """A segmenter of weights with mmsegmentation's names.

    `heads` of the four stages are known for the published widths. Raises ModelError for another network,
    named; for missing, unexpected or misshapen weights, listed; for another number of classes.
    """
    network = network_of(state, source)
    space = LabelSpace.of(vocabulary)
    named = to_transformers(network, source)
    classes = size_of(named, "decode_head.classifier.weight")
    if classes != len(space):
        raise ModelError(f"{source} tells {classes} classes apart, {vocabulary} has {len(space)}")
    with torch.device("meta"):
        net = fresh(space.names, size_of_network(network, source, heads))
    expected = {key: value.shape for key, value in net.state_dict().items()}
    if any(".stages." in key for key in expected):
        named = {_now(key): value for key, value in named.items()}
    counted = {key: value for key, value in named.items() if value.is_floating_point()}
    counters = {key: value for key, value in net.state_dict().items() if not value.is_floating_point()}
    check_keys(counted, {key: shape for key, shape in expected.items() if key not in counters}, source)
    rest = {key: named.get(key, torch.zeros((), dtype=torch.int64)) for key in counters}
    net.load_state_dict({**{key: value.float() for key, value in counted.items()}, **rest}, assign=True)
    return Segmenter(net.requires_grad_(False).eval(), space.names, IMAGENET, space)


def network_of(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The network's own weights out of a training loop's. Raises ModelError for what is no SegFormer."""
    wrapped = any(key.startswith("model.backbone.") for key in state)
    found = {
        _unwrapped(key): value for key, value in state.items() if not wrapped or key.startswith("model.")
    }
    for name, marks in OTHERS:
        if any(re.match(marks, key) for key in found):
            raise ModelError(
                f"{source} is a {name}, which transformers has no network for; only SegFormers are converted",
                "DGInStyle's SegFormer is the one of the colour-augmentation experiments",
            )
    if not any(key.startswith("backbone.patch_embed1.") for key in found):
        raise ModelError(f"{source} is no SegFormer of mmsegmentation: {listed(list(found), 4)}")
    return found


def to_transformers(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Names of mmsegmentation to those in transformers' files; keys and values of attention are split.

    Raises ModelError that lists names without a counterpart.
    """
    found: dict[str, Tensor] = {}
    unknown = []
    for key, value in state.items():
        if key.startswith("decode_head.conv_seg."):
            continue  # of the base class; these heads never use it
        if (name := _renamed(key)) is None:
            unknown.append(key)
        elif ".attention.self.kv." in name:
            for part, half in zip(("key", "value"), value.chunk(2), strict=True):
                found[name.replace(".self.kv.", f".self.{part}.")] = half
        else:
            found[name] = value
    if unknown:
        raise ModelError(f"{source}: {len(unknown)} weights are unknown: {listed(unknown)}")
    if any(key.startswith("decode_head.linear_c.") for key in state):  # DAFormer's: finest level first
        levels = size_of(found, "decode_head.linear_fuse.weight", 1) // size_of(
            found, "decode_head.linear_fuse.weight"
        )
        parts = found["decode_head.linear_fuse.weight"].chunk(levels, dim=1)
        found["decode_head.linear_fuse.weight"] = torch.cat(parts[::-1], dim=1)
    return found


def size_of_network(state: Mapping[str, Tensor], source: str, heads: Sequence[int]) -> SegformerSize:
    """Sizes read off the weights. Raises ModelError where attention heads are not known."""
    stages = range(1, 5)
    widths = tuple(size_of(state, f"backbone.patch_embed{i}.proj.weight") for i in stages)
    known = tuple(heads) or MIT_HEADS.get(widths)
    if known is None:
        raise ModelError(f"{source}: the weights do not tell the attention heads of widths {widths}")
    fuse = state.get("decode_head.linear_fuse.conv.weight")
    if fuse is not None and tuple(fuse.shape[2:]) != (1, 1):
        raise ModelError(f"{source}: its head fuses levels over {fuse.shape[2]} pixels; transformers' over 1")
    patches = tuple(size_of(state, f"backbone.patch_embed{i}.proj.weight", 2) for i in stages)
    depths = [
        len({key.split(".")[2] for key in state if key.startswith(f"backbone.block{i}.")}) for i in stages
    ]
    reductions = [state.get(f"backbone.block{i}.0.attn.sr.weight") for i in stages]
    return SegformerSize(
        channels=widths,
        depths=tuple(depths),
        heads=known,
        reductions=tuple(1 if one is None else int(one.shape[2]) for one in reductions),
        patches=patches,
        decoder=size_of(state, "decode_head.linear_fuse.conv.weight"),
        drop_path=0.1,
    )


def _unwrapped(key: str) -> str:
    return key.removeprefix("model.") if key.startswith(("model.backbone.", "model.decode_head.")) else key


def _renamed(key: str) -> str | None:
    if found := re.fullmatch(r"backbone\.patch_embed(\d)\.(proj|norm)\.(\w+)", key):
        layer = "layer_norm" if found[2] == "norm" else "proj"
        return f"segformer.encoder.patch_embeddings.{int(found[1]) - 1}.{layer}.{found[3]}"
    if found := re.fullmatch(r"backbone\.norm(\d)\.(\w+)", key):
        return f"segformer.encoder.layer_norm.{int(found[1]) - 1}.{found[2]}"
    if found := re.fullmatch(r"backbone\.block(\d)\.(\d+)\.(.+)\.(\w+)", key):
        part = "attention.self.kv" if found[3] == "attn.kv" else _BLOCK.get(found[3])
        return part and f"segformer.encoder.block.{int(found[1]) - 1}.{found[2]}.{part}.{found[4]}"
    if found := re.fullmatch(r"decode_head\.linear_c\.?(\d)\.proj\.(\w+)", key):
        level = int(found[1]) - (0 if "linear_c." in key else 1)
        return f"decode_head.linear_c.{level}.proj.{found[2]}"
    found = re.fullmatch(r"decode_head\.(.+)\.(\w+)", key)
    part = _HEAD.get(found[1]) if found else None
    return f"decode_head.{part}.{found[2]}" if found and part else None


def _now(key: str) -> str:
    for old, new in _NOW:
        key = re.sub(old, new, key)
    return key
