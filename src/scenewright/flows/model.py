"""The model as Python users see it: load once, then generate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenewright.backbone.imports import without_collection
from scenewright.errors import InputError
from scenewright.flows.options import GenerateOptions

if TYPE_CHECKING:
    from scenewright.models.bundle import Bundle
    from scenewright.scene import Record, Scene


@dataclass(frozen=True, eq=False)
class Model:
    """A backbone with its adapter, ready to draw."""

    bundle: Bundle

    @classmethod
    def load(
        cls,
        name: str = "nano+gligen",
        *,
        device: str = "auto",
        dtype: str = "auto",
        allow_other_backbone: bool = False,
    ) -> Model:
        """The model called `name`: ``BASE`` or ``BASE+ADAPTER``, e.g. ``nano+gligen``; see `models.registry`.

        `device` is auto, cpu or a device by torch's name for it; `dtype` auto, float32, bfloat16 or float16.
        `allow_other_backbone` lets an adapter run on other weights of the layout it was trained on. Raises
        ModelError (unknown, not here, does not fit) or InputError. Nothing is fetched from the network.
        """
        with without_collection():
            from scenewright.models.load import load_bundle

            return cls(load_bundle(name, device, dtype, allow_other_backbone=allow_other_backbone))

    def generate(
        self,
        scenes: Sequence[Scene],
        seeds: Sequence[int] | None = None,
        options: GenerateOptions | None = None,
        *,
        on_progress: Callable[[float, int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Record]:
        """One record per scene, in order; scenes may differ in size and layout.

        `seeds`, one per scene, default to the scenes' own, and those to `Scene.auto_seed`. `on_progress` is
        told (pictures done, pictures in all); a true answer of `should_stop` raises
        `backbone.loop.Stopped`. Raises InputError when scenes, seeds and model do not fit together.
        """
        from scenewright.flows.generate import generate
        from scenewright.scene import Scene

        if isinstance(scenes, Scene):
            raise InputError("one scene was given; expected a list of scenes", "write [scene]")
        if seeds is None:
            seeds = [scene.auto_seed() if scene.seed is None else scene.seed for scene in scenes]
        if len(seeds) != len(scenes):
            raise InputError(f"{len(seeds)} seeds for {len(scenes)} scenes", "give one seed per scene")
        chosen = options or GenerateOptions()
        return list(generate(self.bundle, list(scenes), list(seeds), chosen, on_progress, should_stop))


load = Model.load
