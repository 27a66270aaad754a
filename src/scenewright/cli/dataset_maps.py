"""``scenewright dataset build MAPS --vocabulary cityscapes``: from its options to what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenewright.cli.dataset_asked import Given
    from scenewright.flows.dataset.map_request import MapRequest
    from scenewright.flows.options import GenerateOptions
    from scenewright.flows.produce import ModelChoice


def maps_asked(given: Given, options: GenerateOptions, model: ModelChoice) -> MapRequest:
    """A data set of label maps. Raises InputError."""
    from scenewright.flows.dataset.map_request import MapRequest
    from scenewright.flows.dataset.map_source import MapSource
    from scenewright.flows.dataset.map_work import MapRules
    from scenewright.flows.dataset.weather import WeatherPolicy
    from scenewright.scene.label_maps import IN_WEATHER

    source = MapSource(
        places=tuple(given["scenes"]), vocabulary=given["vocabulary"], total=given["total"] or 0,
        temperature=given["temperature"], crop_px=given["crop"], seed=given["seed"] or 0,
        weather=WeatherPolicy.parse(given["weather"]), template=given["template"] or IN_WEATHER,
    )  # fmt: skip
    agreement = {} if given["least_agreement"] is None else {"agreement": given["least_agreement"]}
    rules = MapRules(area=given["least_area"], doubtful=given["doubtful"], **agreement)
    return MapRequest(
        source=source, size_wh=given["size_wh"], model=model, options=options,
        segmenter=given["labeller"], rules=rules,
    )  # fmt: skip
