"""One training step of the adapter on a frozen UNet, against the whole UNet in the optimiser.

Same network, batch, loss and optimiser (AdamW); only what is trained differs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from measuring import turns
from safetensors.torch import save
from torch import Tensor, nn

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.condition.gligen import Gligen, inputs_from_scenes
from scenewright.scene import Scene


def measure(
    backbone: Backbone, adapter: Gligen, scenes: Sequence[Scene], repeats: int, autocast: bool = False
) -> dict[str, Any]:
    """Samples per second, optimiser bytes and file bytes of both ways, and their ratios."""
    unet, adapter = copy.deepcopy(backbone.unet).float(), copy.deepcopy(adapter).float()
    own, base = list(adapter.parameters()), list(unet.parameters())
    optimisers = {
        "adapter": torch.optim.AdamW(own, lr=1e-6),
        "whole": torch.optim.AdamW([*own, *base], lr=1e-6),
    }
    with adapter.attach(unet):
        loss = _loss(backbone, unet, adapter, scenes, autocast)

        def stepper(name: str) -> Callable[[], None]:
            def step() -> None:
                adapter.requires_grad_(True)
                for parameter in base:
                    parameter.requires_grad_(name == "whole")
                loss().backward()
                optimisers[name].step()
                optimisers[name].zero_grad(set_to_none=True)

            return step

        found = turns({name: stepper(name) for name in optimisers}, repeats, backbone.device)
    adapter_file = _bytes(adapter)
    files = {"adapter": adapter_file, "whole": adapter_file + _bytes(backbone.unet)}
    result: dict[str, Any] = {"batch": len(scenes), "autocast_bf16": autocast}
    for name, optimiser in optimisers.items():
        result[name] = {
            **found[name],
            "samples_per_s": len(scenes) / found[name]["wall_s"],
            "parameters": sum(p.numel() for group in optimiser.param_groups for p in group["params"]),
            "optimiser_bytes": _state_bytes(optimiser),
            "checkpoint_bytes": files[name],
        }
    ours, theirs = result["adapter"], result["whole"]
    result["ratio_samples_per_s"] = ours["samples_per_s"] / theirs["samples_per_s"]
    result["ratio_processor"] = theirs["processor_s"] / ours["processor_s"]
    result["ratio_optimiser_bytes"] = ours["optimiser_bytes"] / theirs["optimiser_bytes"]
    result["ratio_checkpoint_bytes"] = ours["checkpoint_bytes"] / theirs["checkpoint_bytes"]
    return result


def _loss(
    backbone: Backbone, unet: Any, adapter: Gligen, scenes: Sequence[Scene], autocast: bool
) -> Callable[[], Tensor]:
    """The loss of one fixed batch; tokens of the layouts are computed anew, since they are trained."""
    generator = torch.Generator().manual_seed(0)
    width, height = scenes[0].size_wh
    shape = (len(scenes), backbone.channels, height // backbone.stride, width // backbone.stride)
    z0_BChw, noise_BChw = (torch.randn(shape, generator=generator).to(backbone.device) for _ in range(2))
    noise = Noise(backbone.scheduler, 10)
    t_B = torch.randint(noise.train_timesteps, (len(scenes),), generator=generator).to(backbone.device)
    z_BChw = noise.scale(noise.add(z0_BChw, noise_BChw, t_B), t_B)
    target_BChw = noise.target(z0_BChw, noise_BChw, t_B)
    text_BLD = embed(backbone, [scene.prompt for scene in scenes]).tokens_BLD.float()
    inputs = inputs_from_scenes(scenes, backbone, adapter.config, "largest")
    denoise = network(unet)

    def loss() -> Tensor:
        with torch.autocast(backbone.device.type, torch.bfloat16, enabled=autocast):
            call = Call.plain(t_B, Conditioning(text_BLD, adapter.grounding(inputs)))
            output_BChw = denoise(z_BChw, call)
        return ((output_BChw.float() - target_BChw) ** 2).mean()

    return loss


def _bytes(module: nn.Module) -> int:
    """Size of the module's file in half precision, which is how results are written."""
    state = {key: value.detach().half().cpu().contiguous() for key, value in module.state_dict().items()}
    return len(save(state))


def _state_bytes(optimiser: torch.optim.Optimizer) -> int:
    """Bytes of the moments."""
    states = [value for state in optimiser.state.values() for value in state.values()]
    return sum(value.numel() * value.element_size() for value in states if isinstance(value, Tensor))
