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
    `shadow` 0..1 darkness of shadows on the ground; `cloud` 0..1 whiteness of clouds (0: none);
    `snow` 0..1 how white upward faces are; `lamps` True where lights are switched on.
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
    cloud: float = 0.0

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


_PLAIN_LEAVES: tuple[RGB, RGB, RGB] = ((76, 110, 56), (98, 134, 68), (58, 88, 46))

LOOKS: dict[str, Look] = {
    look.name: look
    for look in (
        Look(
            "game", (40, 128, 246), (150, 214, 255), (98, 96, 108), (206, 176, 142), (92, 200, 44),
            ((34, 160, 40), (76, 196, 48), (16, 120, 44)), 1.45, (1.06, 1.04, 1.02), 6.0,
            (150, 214, 255), 0.0, 0.55, cloud=0.95,
        ),
        Look(
            "clear", (124, 160, 198), (214, 224, 228), (106, 107, 108), (176, 172, 164), (124, 146, 84),
            _PLAIN_LEAVES, 0.68, (1.0, 1.02, 0.96), 4.0, (196, 206, 212), 220.0, 0.42, cloud=0.6,
        ),
        Look(
            "fog", (208, 212, 214), (222, 225, 226), (110, 113, 116), (150, 152, 152), (124, 136, 108),
            _PLAIN_LEAVES, 0.5, (0.9, 0.91, 0.92), 6.0, (221, 224, 226), 19.0, 0.2, lamps=True,
        ),
        Look(
            "rain", (84, 92, 104), (140, 148, 158), (58, 64, 74), (88, 94, 102), (66, 84, 56),
            ((44, 70, 46), (56, 82, 52), (34, 56, 40)), 0.62, (0.68, 0.72, 0.8), 0.0,
            (122, 132, 144), 90.0, 0.2, lamps=True,
        ),
        Look(
            "snow", (196, 202, 212), (226, 230, 236), (196, 202, 212), (240, 243, 248), (250, 252, 255),
            ((214, 222, 228), (242, 246, 250), (108, 128, 118)), 0.62, (0.96, 0.98, 1.02), 6.0,
            (228, 232, 238), 90.0, 0.18, snow=0.85,
        ),
        Look(
            "night", (8, 10, 30), (38, 38, 70), (40, 42, 54), (62, 62, 78), (24, 46, 38),
            ((18, 46, 36), (28, 60, 42), (12, 32, 30)), 0.62, (0.34, 0.36, 0.5), 0.0,
            (26, 28, 50), 140.0, 0.3, lamps=True,
        ),
    )
}  # fmt: skip
