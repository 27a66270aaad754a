"""Diffusers schedulers by the names the command line uses, set up for latents.

Switching between scheduler classes has a trap: a setting absent from the model's own configuration falls back
to the new class's default, and DDIM's default clips predictions to [-1, 1], which ruins latents.
"""

from __future__ import annotations

import inspect
from typing import Any

import diffusers

from scenewright.errors import InputError, ModelError, nearest

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "pndm": "PNDMScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "lms": "LMSDiscreteScheduler",
}
"""Name -> diffusers class. `lms` needs scipy."""

_LATENT_DEFAULTS = {
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}


def make_scheduler(name: str, like: Any) -> Any:
    """The scheduler called `name`, with the noise levels and the prediction type of the scheduler `like`.

    Raises InputError for an unknown name, ModelError when `like` is a flow matching scheduler, which has no
    counterpart here, or when a library the scheduler needs is missing.
    """
    if name not in SCHEDULERS:
        close = nearest(name, SCHEDULERS)
        raise InputError(
            f"unknown scheduler {name!r}, known are {', '.join(SCHEDULERS)}",
            f"did you mean {close}?" if close else "",
        )
    if "FlowMatch" in type(like).__name__:
        raise ModelError(
            f"{type(like).__name__} cannot be replaced by {name}", "keep the model's own scheduler"
        )
    kind = getattr(diffusers, SCHEDULERS[name])
    expected = inspect.signature(kind.__init__).parameters
    config = {**_LATENT_DEFAULTS, **like.config}
    try:
        return kind.from_config({key: value for key, value in config.items() if key in expected})
    except ImportError as error:
        raise ModelError(
            f"the scheduler {name} needs a library that is not installed: {' '.join(str(error).split())}",
            "install scipy, or choose another scheduler",
        ) from error
