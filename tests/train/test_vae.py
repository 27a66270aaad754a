"""The autoencoder's task: it learns, its latents have unit size, diffusers reads what it exports."""

from __future__ import annotations

import copy
import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_family import CPU, SMALL, generator, loop

from scenewright.train import Recipe, run
from scenewright.train.renders import Source
from scenewright.train.vae import VaeConfig, balance, fresh_vae, to_signal


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def config(cache, **changes):
    wanted = {"channels": (8, 16, 16), "groups": 4, "crop_px": 32, "sources": (SMALL,), "probe": 4}
    return VaeConfig(**{**wanted, "cache": cache, **changes})


def prepared(cache, **changes):
    torch.manual_seed(0)
    task = config(cache, **changes).build(loop(batch_size=8))
    task.prepare(CPU, torch.float32)
    return task


def test_twenty_steps_raise_the_psnr(cache, tmp_path):
    training = loop(steps=20, batch_size=8, lr=5e-3, ema_decay=0.5, validate_every=20, validate_first=True)
    run(Recipe(name="vae", task=config(cache), loop=training), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    before, after = (line["validation"]["psnr_db"] for line in lines if "validation" in line)
    assert after > before + 1.5
    assert list((tmp_path / "validation").rglob("reconstruction-*.png"))


def test_batches_are_crops_of_the_pictures(cache):
    task = prepared(cache)
    crops = task.batch(0, 0, 1)
    assert crops.shape == (8, 32, 32, 3) and crops.dtype == torch.uint8
    assert torch.equal(crops, task.batch(0, 0, 1))
    assert not torch.equal(crops, task.batch(1, 0, 1)) and not torch.equal(crops, task.batch(0, 1, 2))
    whole = task.sources[0].images(np.arange(24))
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32), axis=(1, 2))
    assert (
        (windows[:, :, :, :, ::8, ::8] == crops[0].permute(2, 0, 1)[:, ::8, ::8].numpy()).all((3, 4, 5)).any()
    )


def test_the_loss_by_hand(cache):
    weights = {one.name: 0.0 for one in fields(VaeConfig) if one.name.endswith("_weight")}
    task = prepared(
        cache,
        **{
            **weights,
            "gradient_weight": 0.5,
            "kl_weight": 1e-3,
            "square_weight": 2.0,
            "halving_weight": 0.25,
        },
    )
    crops = task.batch(0, 0, 1)
    loss, logged = task.loss(crops, generator())
    image = to_signal(crops)
    posterior = task.vae.encode(image).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator())
    rebuilt = task.vae.decode(posterior.mean + posterior.std * noise).sample
    gap = rebuilt - image
    assert logged["l1"] == pytest.approx(gap.abs().mean().item(), rel=1e-4)
    assert logged["kl"] == pytest.approx(posterior.kl().mean().item(), rel=1e-4)
    edges = sum(gap.diff(dim=d).abs().mean() for d in (2, 3))
    wanted = gap.abs().mean() + 2.0 * gap.square().mean() + 0.5 * edges + 1e-3 * posterior.kl().mean()
    latent = posterior.mean + posterior.std * noise
    small = (
        latent[..., ::2, ::2] + latent[..., 1::2, ::2] + latent[..., ::2, 1::2] + latent[..., 1::2, 1::2]
    ) / 4
    halved = torch.nn.functional.interpolate(image, scale_factor=0.5, mode="area")
    wanted = wanted + 0.25 * (task.vae.decode(small).sample - halved).abs().mean()
    assert torch.allclose(loss, wanted, rtol=1e-4)


def test_exported_latents_have_unit_size_and_decode_as_before(cache, tmp_path):
    from diffusers import AutoencoderKL

    task = prepared(cache)
    before = {key: value.clone() for key, value in task.vae.state_dict().items()}
    task.export(tmp_path)
    after = task.vae.state_dict()  # the export changes a copy
    assert all(torch.equal(before[key], after[key]) for key in before)
    vae = AutoencoderKL.from_pretrained(tmp_path / "vae").float()
    signal = to_signal(torch.from_numpy(task.sources[0].images(np.arange(24))))
    theirs = vae.encode(signal).latent_dist
    assert vae.config.scaling_factor == 1.0
    assert theirs.mean.square().mean().item() == pytest.approx(1.0, abs=0.1)
    assert torch.allclose(theirs.mean.mean((0, 2, 3)), torch.zeros(8), atol=0.1)
    ours = task.vae.encode(signal).latent_dist
    assert torch.allclose(vae.decode(theirs.mean).sample, task.vae.decode(ours.mean).sample, atol=0.03)


def test_a_decoder_alone_leaves_the_latents_as_they_are(cache, tmp_path):
    first = prepared(cache)
    first.export(tmp_path / "first")
    task = prepared(cache, start=tmp_path / "first", train="decoder")
    task.loss(task.batch(0, 0, 1), generator())[0].backward()
    moved = {name for name, one in task.vae.named_parameters() if one.grad is not None}
    assert moved and all(name.startswith(("decoder", "post_quant_conv")) for name in moved)
    (group,) = task.groups()
    assert {id(one) for one in group["params"]} == {
        id(one) for name, one in task.vae.named_parameters() if name in moved
    }
    with torch.no_grad():
        for one in group["params"]:
            one.add_(0.01)
    task.export(tmp_path / "second")
    before, after = (
        load_file(tmp_path / f"{name}/vae/diffusion_pytorch_model.safetensors")
        for name in ("first", "second")
    )
    for key, value in before.items():
        same = torch.equal(value, after[key])
        assert same == key.startswith(("encoder", "quant_conv")), key


def test_balanced_directions_have_the_root_of_their_size(cache):
    vae = fresh_vae(config(cache))
    torch.manual_seed(0)
    size_C, uncertain_C = torch.arange(1.0, 9.0), torch.tensor([1.0, 2, 1, 4, 1, 1, 0.5, 1])
    turn = torch.linalg.qr(torch.randn(8, 8)).Q
    exact_NC = torch.randn(5000, 8)
    exact_NC = (exact_NC - exact_NC.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(torch.cov(exact_NC.T))
    ).T
    mean_NC = (exact_NC * size_C) @ turn.T * uncertain_C + 0.3  # spreads 1 to 8 along turned directions
    log_NC = (uncertain_C**2).log().repeat(5000, 1)
    with torch.no_grad():
        vae.quant_conv.weight.copy_(torch.eye(16)[:, :, None, None])
        vae.quant_conv.bias.zero_()
    last = copy.deepcopy(vae.post_quant_conv)
    balance(vae, mean_NC, log_NC)
    new_NC = vae.quant_conv(torch.cat([mean_NC, log_NC], 1)[:, :, None, None])[:, :8, 0, 0]
    assert torch.allclose(new_NC.mean(0), torch.zeros(8), atol=1e-3)
    assert new_NC.square().mean().item() == pytest.approx(1.0, abs=1e-3)
    variances = torch.linalg.eigvalsh(torch.cov(new_NC.T))
    assert torch.allclose(variances / variances.mean(), size_C / size_C.mean(), rtol=1e-2)
    back = vae.post_quant_conv(new_NC[:, :, None, None])
    assert torch.allclose(back, last(mean_NC[:, :, None, None]), atol=1e-3)


def test_latents_start_almost_certain(cache):
    vae = fresh_vae(config(cache))
    signal = torch.zeros(1, 3, 32, 32)
    logvar = vae.encode(signal).latent_dist.logvar
    assert logvar.mean().item() == pytest.approx(-6.0, abs=1.0)
    assert vae.encode(signal).latent_dist.mean.shape[-2:] == (8, 8)


def test_sources_of_two_sizes(cache):
    town = Source(name="town", count=6, size_wh=(64, 32), share=1.0)
    task = prepared(cache, sources=(SMALL, town))
    assert {tuple(task.batch(step, 0, 1).shape) for step in range(10)} == {(8, 32, 32, 3)}


def test_signal_is_the_inverse_of_pictures():
    pixels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(1, 16, 16, 3)
    signal = to_signal(pixels)
    assert signal.shape == (1, 3, 16, 16) and signal.min() == -1 and signal.max() == 1
    assert torch.equal(((signal + 1) * 127.5).round().byte().permute(0, 2, 3, 1), pixels)


def test_crops_have_a_thing_in_the_middle_or_lie_anywhere(cache):
    from scenewright.train.renders import Item

    task = prepared(cache, centred=1.0, crop_px=32)
    item = Item("", ("a", "b"), ((0.0, 0.0, 0.2, 0.2), (0.5, 0.25, 0.75, 0.5)))
    middles = [(0.1, 0.1), (0.375, 0.625)]  # y, x
    rng = np.random.default_rng(0)
    corners = [task._corner(item, (64, 128), rng) for _ in range(200)]
    for y, x in corners:
        assert 0 <= y <= 32 and 0 <= x <= 96
        assert any(y <= a * 64 <= y + 32 and x <= b * 128 <= x + 32 for a, b in middles)
    assert len(set(corners)) > 50
    empty = [task._corner(Item("", (), ()), (64, 128), rng) for _ in range(200)]
    assert max(x for _, x in empty) > 80 and min(x for _, x in empty) < 16
