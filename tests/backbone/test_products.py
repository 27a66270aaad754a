"""Products through oneDNN: equal to torch's, lent and given back; gradients and hooks keep torch's own."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.activations import GEGLU
from torch import nn
from torch.nn import functional as nnf

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import Call
from scenewright.backbone.network import network
from scenewright.backbone.products import geglu, lend, lendable, linear
from scenewright.testing.networks import random_conditioning, tiny_unet


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("leading", [(0,), (1,), (7,), (2, 5), (3, 2, 4)])
@torch.no_grad()
def test_products_equal_torchs(leading):
    x, weight, bias = tensors((*leading, 12), (20, 12), (20,))
    value, gate = nnf.linear(x, weight, bias).chunk(2, dim=-1)
    torch.testing.assert_close(linear(x, weight, bias), nnf.linear(x, weight, bias))
    torch.testing.assert_close(linear(x, weight), nnf.linear(x, weight))
    torch.testing.assert_close(geglu(x, weight, bias), value * nnf.gelu(gate))


def test_slices_and_other_number_types_are_taken():
    x, weight, bias = tensors((4, 9, 12), (20, 12), (20,))
    with torch.no_grad():
        torch.testing.assert_close(linear(x[:, 1:5], weight, bias), nnf.linear(x[:, 1:5], weight, bias))
        half = [tensor.bfloat16() for tensor in (x, weight, bias)]
        assert torch.equal(linear(*half), nnf.linear(*half))
        with torch.autocast("cpu", torch.bfloat16):
            assert linear(x, weight, bias).dtype == torch.bfloat16


def test_biases_with_gaps_are_read_as_they_are():
    """Weights of a foreign file keep the strides they were stored with."""
    x_XI, weight_OI, bias_O = torch.randn(2, 7), torch.randn(6, 7), torch.randn(12)[::2]
    with torch.no_grad():
        assert torch.allclose(linear(x_XI, weight_OI, bias_O), nnf.linear(x_XI, weight_OI, bias_O), atol=1e-5)
        value, gate = nnf.linear(x_XI, weight_OI, bias_O).chunk(2, dim=-1)
        assert torch.allclose(geglu(x_XI, weight_OI, bias_O), value * nnf.gelu(gate), atol=1e-5)


def test_widths_that_do_not_fit_get_torchs_message():
    with torch.no_grad(), pytest.raises(RuntimeError, match="cannot be multiplied"):
        linear(torch.randn(2, 5), torch.randn(6, 7))


def test_gradients_are_torchs():
    x, weight, bias = tensors((3, 12), (20, 12), (20,))
    weight.requires_grad_()
    geglu(linear(x, weight, bias)[:, :12], weight, bias).sum().backward()
    ours, weight.grad = weight.grad, None
    value, gate = nnf.linear(nnf.linear(x, weight, bias)[:, :12], weight, bias).chunk(2, dim=-1)
    (value * nnf.gelu(gate)).sum().backward()
    torch.testing.assert_close(ours, weight.grad)


def call(unet, grad: bool = False) -> torch.Tensor:
    z = tensors((2, 4, 8, 8))[0]
    with torch.set_grad_enabled(grad):
        return network(unet)(z, Call.plain(torch.tensor(400), random_conditioning(2, 1)))


def test_a_network_computes_the_same_and_is_left_as_it_was():
    unet = tiny_unet()
    text = random_conditioning(2, 1).text_RLD
    with torch.no_grad():
        plain = unet(tensors((2, 4, 8, 8))[0], 400, encoder_hidden_states=text).sample
    torch.testing.assert_close(call(unet), plain, atol=1e-5, rtol=0)
    assert torch.equal(call(unet), call(unet))
    assert not any("forward" in module.__dict__ for module in unet.modules())
    torch.testing.assert_close(call(unet, grad=True).detach(), plain, atol=1e-5, rtol=0)


def test_the_network_is_given_back_after_an_error():
    unet = tiny_unet()
    with torch.no_grad(), pytest.raises(ZeroDivisionError), lend(lendable(unet)):
        _ = 1 / 0
    assert not any("forward" in module.__dict__ for module in unet.modules())


def test_forwards_of_others_and_hooks_stay_in_charge():
    unet = tiny_unet()
    block = next(iter(transformer_blocks(unet).values()))
    seen: list[str] = []
    feed_forward = next(module for module in block.modules() if type(module) is GEGLU)
    hook = feed_forward.proj.register_forward_hook(lambda *_: seen.append("hook"))
    layer = block.attn1.to_q
    mine = layer.forward
    layer.forward = lambda x: (seen.append("mine"), mine(x))[1]
    call(unet)
    assert sorted(seen) == ["hook", "mine"] and "forward" in layer.__dict__
    hook.remove()


def test_derived_layers_are_left_alone():
    class Quantised(nn.Linear):
        pass

    assert lendable(nn.Sequential(Quantised(3, 3), nn.Conv2d(1, 1, 1))) == []
