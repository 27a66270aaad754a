"""How one and the same street looks as a game, in clear weather, fog, rain, snow and at night.

A look has two halves: `Look.tone` recolours every stroke while it is drawn, and `town_weather.finish` adds
what depends on distance and place (haze, reflections, flakes, halos). Neither touches the geometry.
"""

from __future__ import annotations

from dataclasses import dataclass

from scenewright.world.palette import RGB


@dataclass(frozen=True)
class Look:
    """Colours of one look, all RGB 0..255.

    `saturation` and `gain` recolour strokes (gain per channel), `lift` is added after the gain;
    `haze_m` is the distance in metres at which 63 % of a colour has become `haze` (0: none);
    `shadow` 0..1 darkness of shadows on the ground; `lamps` True where lights are switched on.
    """

    name: str
    sky_top: RGB
    sky_low: RGB
    road: RGB
    walk: RGB
    grass: RGB
    leaves: tuple[RGB, RGB, RGB]
    saturation: float
    gain: tuple[float, float, float]
    lift: float
    haze: RGB
    haze_m: float
    shadow: float
    lamps: bool = False
    snow: float = 0.0
    clouds: bool = False

    def tone(self, colour: RGB) -> RGB:
        """The colour of a stroke under this look."""
        red, green, blue = colour
        grey = 0.3 * red + 0.59 * green + 0.11 * blue
        keep = self.saturation
        mixed = [grey + keep * (part - grey) for part in (red, green, blue)]
        out = [
            min(255, max(0, int(part * gain + self.lift)))
            for part, gain in zip(mixed, self.gain, strict=True)
        ]
        return (out[0], out[1], out[2])


_PLAIN_LEAVES: tuple[RGB, RGB, RGB] = ((70, 104, 52), (88, 124, 62), (54, 84, 44))

LOOKS: dict[str, Look] = {
    look.name: look
    for look in (
        Look(
            "game", (40, 128, 246), (150, 214, 255), (98, 96, 108), (206, 176, 142), (92, 200, 44),
            ((34, 160, 40), (76, 196, 48), (16, 120, 44)), 1.45, (1.06, 1.04, 1.02), 6.0,
            (150, 214, 255), 0.0, 0.55,
        ),
        Look(
            "clear", (118, 152, 188), (206, 216, 220), (92, 94, 96), (158, 154, 148), (112, 134, 74),
            _PLAIN_LEAVES, 0.62, (0.94, 0.97, 0.93), 0.0, (196, 206, 212), 220.0, 0.42, clouds=True,
        ),
        Look(
            "fog", (208, 212, 214), (222, 225, 226), (110, 113, 116), (150, 152, 152), (124, 136, 108),
            _PLAIN_LEAVES, 0.5, (0.9, 0.91, 0.92), 6.0, (221, 224, 226), 15.0, 0.15, lamps=True,
        ),
        Look(
            "rain", (84, 92, 104), (140, 148, 158), (58, 64, 74), (88, 94, 102), (66, 84, 56),
            ((44, 70, 46), (56, 82, 52), (34, 56, 40)), 0.6, (0.62, 0.66, 0.74), 0.0,
            (128, 138, 150), 60.0, 0.2, lamps=True,
        ),
        Look(
            "snow", (196, 202, 212), (226, 230, 236), (196, 202, 212), (240, 243, 248), (250, 252, 255),
            ((214, 222, 228), (242, 246, 250), (108, 128, 118)), 0.62, (0.96, 0.98, 1.02), 6.0,
            (228, 232, 238), 90.0, 0.18, snow=0.85,
        ),
        Look(
            "night", (8, 10, 30), (34, 34, 62), (34, 36, 48), (44, 44, 56), (20, 34, 30),
            ((14, 34, 28), (22, 44, 32), (10, 24, 24)), 0.6, (0.24, 0.26, 0.38), 0.0,
            (26, 28, 50), 140.0, 0.3, lamps=True,
        ),
    )
}  # fmt: skip
