"""DGInStyle's published files: ControlNet both ways, SegFormers of mmsegmentation, and what is refused."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

import pytest
import torch
from diffusers.models.controlnets.controlnet import ControlNetModel
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.load import save_folder
from scenewright.backbone.parts import build_unet, quiet
from scenewright.condition.semantic import EMBEDDING, SemanticConfig, SemanticControl
from scenewright.convert import segformer as segformers
from scenewright.convert.dginstyle import build_control, embedding_widths, is_control, read_control
from scenewright.convert.dispatch import convert
from scenewright.convert.segformer import read_segformer, segmenter_of
from scenewright.errors import ModelError
from scenewright.models.load import load_bundle
from scenewright.models.segformer import load_segmenter
from scenewright.testing import tiny_backbone

PARAMETERS = 361_281_568
"""Of the published ControlNet; with three channels it would be 361 279 120."""


def published(folder: Path, backbone) -> ControlNetModel:
    """A ControlNet of 20 channels as published: its own class, a configuration that does not tell."""
    net = ControlNetModel.from_unet(
        backbone.unet, conditioning_channels=20, conditioning_embedding_out_channels=(16, 32, 96)
    )
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.01)
    net.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"_class_name": "ControlNetModelSemantic", "conditioning_channels": 3}
    (folder / "config.json").write_text(json.dumps(config))
    return net


def test_a_published_control_net_comes_in_and_goes_out(tmp_path: Path) -> None:
    backbone = tiny_backbone(0)
    base = save_folder(backbone, tmp_path / "base", torch.float32)
    net = published(tmp_path / "repo" / "ControlNet_UNet-S", backbone)
    told: list[str] = []
    path, kind = convert(str(tmp_path / "repo"), str(tmp_path / "c.safetensors"), half=False, say=told.append)
    assert kind == "adapter" and "any backbone" in told[0]
    bundle = load_bundle(f"{base}+dginstyle:{path}", "cpu")
    assert isinstance(bundle.adapter, SemanticControl) and bundle.kind == "dginstyle"
    assert bundle.adapter.config.classes[15] == "bus"
    back, kind = convert(f"{base}+dginstyle:{path}", str(tmp_path / "back"), half=False)
    assert kind == "ControlNet folder"
    again = ControlNetModel.from_pretrained(back)
    assert again.config.conditioning_channels == 20
    for key, value in net.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key


def test_control_nets_of_pictures_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    backbone = tiny_backbone(0)
    ControlNetModel.from_unet(backbone.unet).save_pretrained(tmp_path / "rgb")
    assert is_control(tmp_path / "rgb")
    with pytest.raises(ModelError, match="3 input channels") as told:
        read_control(tmp_path / "rgb")
    assert "for pictures" in told.value.hint
    net = published(tmp_path / "cut", backbone)
    state = net.state_dict()
    state.pop("controlnet_mid_block.bias")
    save_file(state, tmp_path / "cut" / "diffusion_pytorch_model.safetensors")
    assert is_control(tmp_path / "cut" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match=r"1 missing: controlnet_mid_block\.bias"):
        read_control(tmp_path / "cut" / "diffusion_pytorch_model.safetensors")


def test_full_size_names_and_sizes_without_memory() -> None:
    folder = importlib.resources.files("scenewright.backbone") / "configs" / "sd1" / "unet"
    config = json.loads((folder / "config.json").read_text())
    unet = build_unet(config)
    control = SemanticControl.for_unet(unet, SemanticConfig(embedding=EMBEDDING))
    assert {value.device.type for value in control.parameters()} == {"meta"}
    assert sum(value.numel() for value in control.parameters()) == PARAMETERS
    state = control.net.state_dict()
    assert embedding_widths(state) == EMBEDDING
    zero = [key for key in state if key.startswith("controlnet_down_blocks.") and key.endswith("weight")]
    assert [state[key].shape[0] for key in zero] == [320] * 4 + [640] * 3 + [1280] * 5
    shared = {key: value.shape for key, value in unet.state_dict().items() if key.startswith("down_blocks.")}
    assert {key: state[key].shape for key in shared} == shared
    settings = {key: value for key, value in dict(control.net.config).items() if not key.startswith("_")}
    built = build_control(settings, EMBEDDING)
    assert {key: value.shape for key, value in built.state_dict().items()} == {
        key: value.shape for key, value in state.items()
    }


# --- SegFormers: a small network with mmsegmentation's names, written from the paper ------------------------

WIDTHS, DEPTHS, HEADS, RATIOS = (8, 16, 24, 32), (1, 2, 1, 1), (1, 2, 3, 4), (4, 2, 2, 1)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads, self.ratio = heads, ratio
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({
            "q": nn.Linear(width, width), "kv": nn.Linear(width, 2 * width), "proj": nn.Linear(width, width)
        })  # fmt: skip
        if ratio > 1:
            self.attn["sr"] = nn.Conv2d(width, width, ratio, ratio)
            self.attn["norm"] = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({
            "fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width),
            "dwconv": nn.ModuleDict({"dwconv": nn.Conv2d(4 * width, 4 * width, 3, 1, 1, groups=4 * width)}),
        })  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:  # [B, D, h, w]
        b, d, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        inner = self.norm1(tokens)
        source = inner
        if self.ratio > 1:
            source = self.attn["sr"](inner.transpose(1, 2).reshape(b, d, h, w)).flatten(2).transpose(1, 2)
            source = self.attn["norm"](source)
        key, value = self.attn["kv"](source).chunk(2, -1)
        q, k, v = (one.reshape(b, -1, self.heads, d // self.heads).transpose(1, 2)
                   for one in (self.attn["q"](inner), key, value))  # fmt: skip
        weight = (q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5).softmax(-1)
        tokens = tokens + self.attn["proj"]((weight @ v).transpose(1, 2).reshape(b, -1, d))
        wide = self.mlp["fc1"](self.norm2(tokens)).transpose(1, 2).reshape(b, 4 * d, h, w)
        wide = nnf.gelu(self.mlp["dwconv"]["dwconv"](wide)).flatten(2).transpose(1, 2)
        return (tokens + self.mlp["fc2"](wide)).transpose(1, 2).reshape(b, d, h, w)


class Published(nn.Module):
    """Encoder and all-MLP head; `style` "daformer" joins from the finest level on, "nvidia" the other way."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self.style = style
        encoder: dict[str, nn.Module] = {}
        for i, width in enumerate(WIDTHS):
            size, before = (7 if i == 0 else 3), (3, *WIDTHS)[i]
            conv = nn.Conv2d(before, width, size, 4 if i == 0 else 2, size // 2)
            encoder[f"patch_embed{i + 1}"] = nn.ModuleDict({"proj": conv, "norm": nn.LayerNorm(width)})
            encoder[f"block{i + 1}"] = nn.ModuleList(
                Block(width, HEADS[i], RATIOS[i]) for _ in range(DEPTHS[i])
            )
            encoder[f"norm{i + 1}"] = nn.LayerNorm(width)
        self.backbone = nn.ModuleDict(encoder)
        levels = {str(i): nn.ModuleDict({"proj": nn.Linear(width, 12)}) for i, width in enumerate(WIDTHS)}
        fuse = nn.ModuleDict({"conv": nn.Conv2d(48, 12, 1, bias=False), "bn": nn.BatchNorm2d(12)})
        head: dict[str, nn.Module] = {"linear_fuse": fuse, "linear_pred": nn.Conv2d(12, 19, 1)}
        head["conv_seg"] = nn.Conv2d(12, 19, 1)
        if style == "daformer":
            head["linear_c"] = nn.ModuleDict(levels)
        else:
            head |= {f"linear_c{int(i) + 1}": level for i, level in levels.items()}
        self.decode_head = nn.ModuleDict(head)
        self.levels = list(levels.values())

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for i in range(4):
            embed = self.backbone[f"patch_embed{i + 1}"]
            x = _per_cell(embed["norm"], embed["proj"](x))
            for block in self.backbone[f"block{i + 1}"]:
                x = block(x)
            x = _per_cell(self.backbone[f"norm{i + 1}"], x)
            found.append(_per_cell(self.levels[i]["proj"], x))
        found = [nnf.interpolate(one, found[0].shape[2:], mode="bilinear") for one in found]
        fuse = self.decode_head["linear_fuse"]
        joined = torch.cat(found if self.style == "daformer" else found[::-1], 1)
        return self.decode_head["linear_pred"](fuse["bn"](fuse["conv"](joined)).relu())


def _per_cell(layer: nn.Module, x: Tensor) -> Tensor:
    return layer(x.movedim(1, -1)).movedim(-1, 1)


def made(style: str) -> Published:
    torch.manual_seed(3)
    net = Published(style)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.05 * torch.randn_like(value))
        net.decode_head["linear_fuse"]["bn"].running_mean.uniform_(-1, 1)
        net.decode_head["linear_fuse"]["bn"].running_var.uniform_(0.5, 2)
    return net.eval()


def weights(net: Published) -> dict[str, Tensor]:
    return {key: value for key, value in net.state_dict().items() if not key.startswith("levels.")}


@pytest.mark.parametrize("style", ["daformer", "nvidia"])
def test_segformers_give_the_same_logits(style: str, tmp_path: Path) -> None:
    net, file = made(style), tmp_path / "iter_40000.pth"
    wrapped = {f"model.{key}": value for key, value in weights(net).items()}
    frozen = {"imnet_model.backbone.norm1.weight": torch.ones(8)}
    torch.save({"meta": {"CLASSES": ("road",)}, "state_dict": {**wrapped, **frozen}, "optimizer": {}}, file)
    segmenter = read_segformer(file, heads=HEADS)
    signal = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = segmenter.net(pixel_values=signal).logits
        torch.testing.assert_close(ours, net(signal), atol=2e-4, rtol=1e-3)
    assert segmenter.names[18] == "bicycle" and segmenter.prepare.mean[0] == 0.485


def test_a_converted_segmenter_is_a_folder_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(segformers.MIT_HEADS, WIDTHS, HEADS)
    file = tmp_path / "segformer.pth"
    torch.save({"state_dict": weights(made("daformer"))}, file)
    path, kind = convert(str(file), str(tmp_path / "out"))
    again = load_segmenter(path)
    assert kind == "segmenter folder" and again.space is not None and again.space.vocabulary == "cityscapes"
    with torch.no_grad():
        signal = torch.zeros(1, 3, 64, 64)
        one, two = again.net(pixel_values=signal).logits, made("daformer")(signal)
    assert float((one - two).abs().max()) < 0.05  # half precision


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("HRDA", "model.decode_head.head.conv_seg.weight"),
        ("DAFormer", "decode_head.fuse_layer.bottleneck.conv.weight"),
        ("DeepLabV2", "backbone.layer1.0.conv1.weight"),
    ],
)
def test_other_networks_are_refused_by_name(name: str, key: str) -> None:
    state = {**({"model.backbone.x": torch.ones(1)} if key.startswith("model.") else {}), key: torch.ones(1)}
    with pytest.raises(ModelError, match=f"is a {name}, which transformers has no network for"):
        segmenter_of(state, "iter_40000.pth")


def test_what_does_not_fit_is_listed() -> None:
    state = weights(made("daformer"))
    with pytest.raises(ModelError, match="do not tell the attention heads"):
        segmenter_of(state, "a.pth")
    with pytest.raises(ModelError, match=r"1 weights are unknown: backbone\.extra\.weight"):
        segmenter_of({**state, "backbone.extra.weight": torch.ones(1)}, "a.pth", heads=HEADS)
    state.pop("backbone.block2.1.mlp.fc1.weight")
    with pytest.raises(ModelError, match="1 missing"):
        segmenter_of(state, "a.pth", heads=HEADS)


def test_the_published_segformer_s_names_and_sizes_without_memory() -> None:
    """MiT-B5 with a head of 768, by its formula."""
    names = published_names((64, 128, 320, 512), (3, 6, 40, 3), (8, 4, 2, 1), 768)
    with torch.device("meta"), quiet():
        segmenter = segmenter_of({key: torch.empty(shape) for key, shape in names.items()}, "b5.pth")
    assert {value.device.type for value in segmenter.net.parameters()} == {"meta"}
    assert sum(value.numel() for value in segmenter.net.parameters()) == 84_607_955


def published_names(
    widths: tuple[int, ...], depths: tuple[int, ...], ratios: tuple[int, ...], head: int
) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published segmenter."""
    found: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int, bias: bool = True) -> None:
        found[f"{name}.weight"] = shape
        if bias:
            found[f"{name}.bias"] = shape[:1]

    for i, (width, depth, ratio) in enumerate(zip(widths, depths, ratios, strict=True), 1):
        size = 7 if i == 1 else 3
        layer(f"backbone.patch_embed{i}.proj", width, (3, *widths)[i - 1], size, size)
        layer(f"backbone.patch_embed{i}.norm", width)
        for j in range(depth):
            at = f"backbone.block{i}.{j}"
            for name in ("norm1", "norm2", *(["attn.norm"] if ratio > 1 else [])):
                layer(f"{at}.{name}", width)
            if ratio > 1:
                layer(f"{at}.attn.sr", width, width, ratio, ratio)
            layer(f"{at}.attn.q", width, width)
            layer(f"{at}.attn.kv", 2 * width, width)
            layer(f"{at}.attn.proj", width, width)
            layer(f"{at}.mlp.fc1", 4 * width, width)
            layer(f"{at}.mlp.dwconv.dwconv", 4 * width, 1, 3, 3)
            layer(f"{at}.mlp.fc2", width, 4 * width)
        layer(f"backbone.norm{i}", width)
        layer(f"decode_head.linear_c.{i - 1}.proj", head, width)
    layer("decode_head.linear_fuse.conv", head, head * 4, 1, 1, bias=False)
    layer("decode_head.linear_fuse.bn", head)
    found["decode_head.linear_fuse.bn.running_mean"] = (head,)
    found["decode_head.linear_fuse.bn.running_var"] = (head,)
    layer("decode_head.linear_pred", 19, head, 1, 1)
    layer("decode_head.conv_seg", 19, head, 1, 1)
    return found
