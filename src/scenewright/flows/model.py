"""The model as Python users see it: load once, then generate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scenewright.backbone.imports import without_collection
from scenewright.errors import InputError
from scenewright.flows.options import GenerateOptions, GroundOptions

if TYPE_CHECKING:
    from scenewright.flows.ground import Grounder
    from scenewright.models.bundle import Bundle
    from scenewright.scene import Record, Scene
    from scenewright.scene.edits import Edit


@dataclass(frozen=True, eq=False)
class Model:
    """A backbone with its adapter, ready to draw."""

    bundle: Bundle
    any_backbone: bool = False
    """Whether adapters may run on other weights than those they were trained on."""
    _grounders: dict[GroundOptions, Grounder] = field(default_factory=dict, repr=False)

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

            bundle = load_bundle(name, device, dtype, allow_other_backbone=allow_other_backbone)
            return cls(bundle, allow_other_backbone)

    def generate(
        self,
        scenes: Sequence[Scene],
        seeds: Sequence[int] | None = None,
        options: GenerateOptions | None = None,
        *,
        ground: GroundOptions | None = None,
        on_progress: Callable[[float, int], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[Record]:
        """One record per scene, in order; scenes may differ in size and layout.

        `seeds`, one per scene, default to the scenes' own, and those to `Scene.auto_seed`. With `ground` the
        records have masks, out of the same sampling: of the scene's phrases, or of the classes that it names.
        `on_progress` is told (pictures done, pictures in all); a true answer of `should_stop` raises
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
        from scenewright.flows.ground_words import with_classes

        chosen = options or GenerateOptions()
        grounder = None if ground is None else self.grounder(ground)
        wide = list(scenes) if ground is None else [with_classes(one, ground.classes) for one in scenes]
        made = generate(self.bundle, wide, list(seeds), chosen, on_progress, should_stop, ground=grounder)
        return list(made)

    def edit(
        self,
        record: Record,
        edits: Sequence[Edit],
        *,
        prompt: str | None = None,
        keep: float = 1.0,
        options: GenerateOptions | None = None,
    ) -> Record:
        """The picture of a record after changes to its scene (`scene.edits`), the rest as it was.

        `prompt` None keeps the prompt, `keep` is the share of the steps in which what does not change is
        held, `options` are the record's own by default. The result says in `scores["edit"]` how much changed
        where. Raises SceneError (no such instance), InputError.
        """
        from scenewright.flows.edit import last_round, options_of
        from scenewright.flows.rounds import begun, draw

        last = last_round(record, edits, prompt, keep)
        chosen = options or options_of(record, self.bundle, GenerateOptions(), ())
        rounds, _ = begun(record, self.bundle, chosen)
        return draw(self.bundle, replace(rounds, rounds=(*rounds.rounds, last)), chosen)[-1]

    def ground(self, records: Sequence[Record], options: GroundOptions) -> list[Record]:
        """The records with masks found in their finished pictures; `flows.ground_pictures.picture_record`
        makes a record of a photograph. Raises ModelError without a grounding head for this model."""
        from scenewright.flows.ground_pictures import ground_pictures

        return ground_pictures(records, self.grounder(options))

    def grounder(self, options: GroundOptions) -> Grounder:
        """The grounding head for this model that `options` name, loaded once. Raises ModelError."""
        from scenewright.flows.ground import Grounder

        if options not in self._grounders:
            self._grounders[options] = Grounder.load(self.bundle, options, allow_other=self.any_backbone)
        return self._grounders[options]


load = Model.load
