"""Label maps to pictures: windows, multi-resolution fusion, and what records say about them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.backbone.latents import encode
from scenewright.condition.semantic import SemanticConfig, SemanticControl
from scenewright.errors import InputError
from scenewright.flows.edit import options_of
from scenewright.flows.fusion import fused, kept_cells, own_seeds, resampled
from scenewright.flows.generate import GenerateOptions, generate, latents
from scenewright.flows.windows import check_whole
from scenewright.models.bundle import Bundle
from scenewright.scene import Box, Instance, Scene, SemanticMap
from scenewright.testing import tiny_backbone

SIZE = (64, 32)
FAST = GenerateOptions(steps=2, guidance=3.0)


def street(seed: int, size_wh: tuple[int, int] = SIZE) -> Scene:
    """Road below, sky above, and a small bus."""
    width, height = size_wh
    labels = np.zeros((height, width), np.uint16)
    labels[: height // 2] = 10
    labels[height // 2 :, 8 + 4 * seed : 16 + 4 * seed] = 15
    return Scene("a street", size_wh, semantic_map=SemanticMap.from_labels(labels, "cityscapes"))


def controlled(size_wh: tuple[int, int]) -> Bundle:
    backbone = tiny_backbone(0)
    control = SemanticControl.for_unet(backbone.unet, SemanticConfig(size_wh=size_wh), stride=4)
    with torch.no_grad():
        for name, value in control.named_parameters():
            if not bool(value.any()) and "bias" not in name:
                value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    return Bundle(backbone, control.requires_grad_(False).eval(), "tiny+dginstyle", "dginstyle")


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return controlled(SIZE)


def test_the_map_steers_and_strength_0_does_not(bundle: Bundle) -> None:
    def drawn(options: GenerateOptions, scene: Scene) -> torch.Tensor:
        return latents(bundle.backbone, bundle.adapter, [scene], [3], options)

    off = GenerateOptions(steps=2, guidance=3.0, control=0.0)
    plain = latents(bundle.backbone, None, [street(0)], [3], FAST)
    assert torch.equal(drawn(off, street(0)), plain)
    assert float((drawn(FAST, street(0)) - drawn(FAST, street(5))).abs().max()) > 1e-4
    early = GenerateOptions(steps=2, guidance=3.0, gate=(0.0, 0.0, 1.0))
    assert torch.equal(drawn(early, street(0)), plain)


@pytest.mark.parametrize("windows", ["uniform", "tapered"])
def test_one_window_is_plain_sampling(bundle: Bundle, windows: str) -> None:
    options = GenerateOptions(steps=2, guidance=3.0, windows=windows)
    tiled = latents(bundle.backbone, bundle.adapter, [street(0)], [3], options)
    plain = latents(bundle.backbone, bundle.adapter, [street(0)], [3], FAST)
    torch.testing.assert_close(tiled, plain, atol=1e-5, rtol=0)


def test_canvases_larger_than_the_model_in_any_batch(bundle: Bundle) -> None:
    options = GenerateOptions(steps=2, guidance=3.0, windows="tapered", window_stride=0.5, batch=2)
    scenes = [street(k, (88, 40)) for k in range(2)]
    both = latents(bundle.backbone, bundle.adapter, scenes, [1, 2], options)
    alone = latents(bundle.backbone, bundle.adapter, scenes[1:], [2], options)
    assert both.shape == (2, 4, 10, 22) and bool(torch.isfinite(both).all())
    torch.testing.assert_close(both[1:], alone, atol=1e-4, rtol=0)


def test_large_segments_are_those_of_the_first_pass(bundle: Bundle) -> None:
    options = GenerateOptions(steps=2, guidance=3.0, fusion=2, fusion_share=0.2)
    scene = street(0)
    done = fused(bundle.backbone, bundle.adapter, [scene], [3], options)
    keep = kept_cells([scene], 0.2, (16, 32))
    low = latents(bundle.backbone, bundle.adapter, [scene], [3], FAST)
    from scenewright.backbone.latents import decode

    large = torch.from_numpy(resampled(decode(bundle.backbone, low), (128, 64))).permute(0, 3, 1, 2)
    known = encode(bundle.backbone, large.float() / 127.5 - 1, own_seeds([3], "known"))
    assert done.z_BChw.shape == (1, 4, 16, 32) and 0.5 < float(keep.mean()) < 1
    torch.testing.assert_close(done.z_BChw * keep, known * keep)
    assert float(((done.z_BChw - known) * (1 - keep)).abs().max()) > 1e-2


@pytest.mark.parametrize("scheduler", ["ddim", "dpm++", "unipc", "euler-ancestral"])
def test_fusion_with_any_scheduler_gives_records_of_the_maps_size(bundle: Bundle, scheduler: str) -> None:
    options = GenerateOptions(steps=2, guidance=3.0, fusion=2, scheduler=scheduler, windows="tapered")
    told: list[float] = []
    record = next(generate(bundle, [street(1)], [4], options, lambda done, of: told.append(done)))
    assert record.image.shape == (32, 64, 3) and record.scene.size_wh == SIZE
    made = record.provenance
    assert (made["fusion"], made["windows"], made["control"]) == (2, "tapered", 1.0)
    assert told == sorted(told) and told[-1] == 1.0
    again = next(generate(bundle, [street(1)], [4], options))
    assert np.array_equal(again.image, record.image)


def test_a_picture_of_fusion_does_not_depend_on_its_neighbours(bundle: Bundle) -> None:
    options = GenerateOptions(steps=2, guidance=3.0, fusion=2)
    both = fused(bundle.backbone, bundle.adapter, [street(0), street(2)], [1, 2], options).z_BChw
    alone = fused(bundle.backbone, bundle.adapter, [street(2)], [2], options).z_BChw
    torch.testing.assert_close(both[1:], alone, atol=1e-3, rtol=0)


def test_what_does_not_go_together_is_refused(bundle: Bundle) -> None:
    fusion = GenerateOptions(steps=2, fusion=2)
    with pytest.raises(InputError, match="the scene has none"):
        list(generate(bundle, [Scene("a street", SIZE)], [1], fusion))
    boxed = street(0).replace(instances=(Instance("a bus", box=Box(0, 0, 0.5, 0.5)),))
    with pytest.raises(InputError, match="no adapter that places instances"):
        list(generate(bundle, [boxed], [1], GenerateOptions(steps=2, mis=0.5)))
    for wrong in (
        {"windows": "taper"}, {"window_stride": 0.0}, {"fusion": 0}, {"fusion_share": 1.5}, {"control": -1.0}
    ):  # fmt: skip
        with pytest.raises(InputError, match=next(iter(wrong))):
            GenerateOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="attention"):
        list(generate(bundle, [street(0)], [1], GenerateOptions(steps=2, attention="full")))


def test_masks_and_edits_want_the_picture_whole() -> None:
    with pytest.raises(InputError, match="masks were asked for together with windows"):
        check_whole(GenerateOptions(windows="uniform"), "masks")
    for what in ("masks", "edits"):
        with pytest.raises(InputError, match=f"{what} were asked for together with fusion"):
            check_whole(GenerateOptions(fusion=2), what)
    check_whole(GenerateOptions(windows="uniform"), "edits")


def test_an_edit_goes_on_as_the_picture_was_made(bundle: Bundle) -> None:
    options = GenerateOptions(steps=2, control=0.5, windows="tapered", window_stride=0.5)
    record = next(generate(bundle, [street(0)], [1], options))
    assert options_of(record, bundle, GenerateOptions(), ()) == options


def test_cells_take_the_label_of_their_corner() -> None:
    labels = np.zeros((8, 8), np.uint16)
    labels[:, 5:] = 255
    scene = Scene("", (8, 8), semantic_map=SemanticMap.from_labels(labels, "cityscapes"))
    assert kept_cells([scene], 0.5, (4, 4))[0, 0].tolist() == [[1, 1, 1, 0]] * 4
    assert not bool(kept_cells([scene], 0.7, (4, 4)).any())
