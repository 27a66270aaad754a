"""Taps are found by walking the network, at every depth and size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.tap_layout import attention_depth, attention_maps, tap_layout
from scenewright.errors import InputError, ModelError
from scenewright.testing import tiny_backbone

SD_BLOCKS = (
    ("down_blocks.2", "down_blocks.3", "mid_block"),
    ("down_blocks.1", "up_blocks.0"),
    ("down_blocks.0", "up_blocks.1"),
    ("up_blocks.2", "up_blocks.3"),
)

SD_ALL = (
    (
        "down_blocks.2.downsamplers.0",
        "down_blocks.3.resnets.0",
        "down_blocks.3.resnets.1",
        "mid_block",
        "up_blocks.0.resnets.0",
        "up_blocks.0.resnets.1",
    ),
    (
        "down_blocks.1.downsamplers.0",
        "down_blocks.2.attentions.0",
        "down_blocks.2.attentions.1",
        "up_blocks.0.upsamplers.0",
        "up_blocks.1.attentions.0",
        "up_blocks.1.attentions.1",
    ),
    (
        "down_blocks.0.downsamplers.0",
        "down_blocks.1.attentions.0",
        "down_blocks.1.attentions.1",
        "up_blocks.1.upsamplers.0",
        "up_blocks.2.attentions.0",
        "up_blocks.2.attentions.1",
    ),
    (
        "conv_in",
        "down_blocks.0.attentions.0",
        "down_blocks.0.attentions.1",
        "up_blocks.2.upsamplers.0",
        "up_blocks.3.attentions.0",
        "up_blocks.3.attentions.1",
        "up_blocks.3.attentions.2",
    ),
)


@pytest.mark.parametrize("name", ["sd1", "sd2"])
def test_both_published_tap_sets_in_capture_order(name: str) -> None:
    unet = tiny_backbone(0, name).unet
    assert tap_layout(unet).levels == SD_BLOCKS
    assert tap_layout(unet, "all").levels == SD_ALL
    assert set(tap_layout(unet).widths()) and len(tap_layout(unet, "all").paths) == 25
    assert tap_layout(unet).widths(("cond",)) == tuple(width // 2 for width in tap_layout(unet).widths())


@pytest.mark.parametrize("name", ["nano", "sd1", "sd2"])
@pytest.mark.parametrize("taps", ["blocks", "all"])
def test_levels_and_channels_are_those_of_the_maps(name: str, taps: str) -> None:
    backbone = tiny_backbone(0, name)
    layout, seen = tap_layout(backbone.unet, taps), {}
    modules = dict(backbone.unet.named_modules())

    def keep(path: str):
        def hook(module, args, output) -> None:
            while not isinstance(output, torch.Tensor):
                output = output[0]
            seen[path] = output.shape

        return hook

    hooks = [modules[path].register_forward_hook(keep(path)) for path in layout.paths]
    text = torch.zeros(1, backbone.window, backbone.context_width)
    with torch.no_grad():
        backbone.unet(torch.zeros(1, 4, 16, 24), 1, encoder_hidden_states=text)
    for hook in hooks:
        hook.remove()
    depth = len(layout.levels) - 1
    for level, channels in zip(layout.levels, layout.channels, strict=True):
        for path, width in zip(level, channels, strict=True):
            assert seen[path] == (1, width, 16 >> depth, 24 >> depth)
        depth -= 1


def test_attention_depths_are_those_of_the_blocks() -> None:
    for name, depths in (("nano", 3), ("sd1", 4)):
        unet = tiny_backbone(0, name).unet
        sizes: dict[str, int] = {}
        hooks = [
            block.register_forward_pre_hook(
                lambda module, args, path=path, sizes=sizes: sizes.update({path: args[0].shape[1]})
            )
            for path, block in transformer_blocks(unet).items()
        ]
        text = torch.zeros(1, 8, int(unet.config.cross_attention_dim))
        with torch.no_grad():
            unet(torch.zeros(1, 4, 16, 32), 1, encoder_hidden_states=text)
        for hook in hooks:
            hook.remove()
        for path, tokens in sizes.items():
            assert tokens == (16 * 32) >> (2 * attention_depth(unet, path))
        assert attention_maps(unet) == depths
        heads = sum(block.attn2.heads for block in transformer_blocks(unet).values())
        assert attention_maps(unet, "head") == heads


def test_what_cannot_be_tapped() -> None:
    with pytest.raises(InputError, match="blocks") as caught:
        tap_layout(tiny_backbone(0).unet, "block")
    assert "blocks" in caught.value.hint
    with pytest.raises(ModelError, match="Linear"):
        tap_layout(nn.Linear(1, 1))
