"""The person: clothes in the main colour, 17 joints in COCO's order and names."""

from __future__ import annotations

from typing import Final

from scenewright.world.sprite import Ink, Sprite
from scenewright.world.toys import toy

JOINTS: Final = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO's keypoint order. Left and right are the person's own."""

_ARMS: Final = {
    # (elbow, wrist) of the person's right arm (on our left), then of the left arm
    0: (((12, 50), (8, 66)), ((56, 50), (60, 66))),
    1: (((12, 50), (8, 66)), ((62, 34), (64, 14))),
    2: (((10, 28), (8, 10)), ((58, 28), (60, 10))),
}


@toy("person", (68, 100), (72, 100), (68, 100), (68, 100))
def person(s: Sprite, v: int) -> None:
    """0 arms down, 1 waving, 2 arms up, 3 in a dress. Facing us; mirroring swaps left and right."""
    dress = v == 3
    (re, rw), (le, lw) = _ARMS[v % 3]
    knees, ankles = ((26, 78), (42, 78)), ((25, 92), (43, 92))
    with s.part("legs"):
        for knee, ankle, hip in zip(knees, ankles, ((28, 64), (40, 64)), strict=True):
            s.stroke([hip, knee, ankle], 14, Ink.SKIN if dress else Ink.SHADE)
        for (x, y), side in zip(ankles, (-1, 1), strict=True):
            s.oval(x + side * 2, y + 4.5, 8, 3.5, Ink.BLACK)
    with s.part("arms"):
        for shoulder, elbow, wrist in (((21, 38), re, rw), ((47, 38), le, lw)):
            s.stroke([shoulder, elbow, wrist], 11)
            s.oval(wrist[0], wrist[1], 5, ink=Ink.SKIN)
    with s.part("torso"):
        if dress:
            s.blob([(21, 34), (34, 31), (47, 34), (48, 52), (60, 80), (34, 84), (8, 80), (20, 52)])
            s.poly([(21, 52), (47, 52), (48, 56), (20, 56)], Ink.WHITE, line=False)
        else:
            s.blob([(17, 36), (34, 31), (51, 36), (51, 56), (49, 69), (34, 70), (19, 69), (17, 56)])
            s.thin([(19, 64), (49, 64)], Ink.DARK, 2)
    with s.part("head"):
        if dress:
            s.blob([(34, 0), (50, 8), (52, 24), (50, 36), (18, 36), (16, 24), (18, 8)], Ink.BROWN)
        s.oval(34, 19, 13.5, 14.5, Ink.SKIN)
        s.blob([(20, 19), (21, 8), (34, 2), (47, 8), (48, 19), (42, 11), (30, 10)], Ink.BROWN, line=False)
        s.dot(28, 18, 2.4)
        s.dot(40, 18, 2.4)
        s.curve([(28, 25), (34, 28), (40, 25)], 1.8, Ink.RED, line=False)
    face = [(34, 22), (40, 18), (28, 18), (49, 19), (19, 19)]
    legs = [(40, 64), (28, 64), knees[1], knees[0], ankles[1], ankles[0]]
    spots = [*face, (47, 38), (21, 38), le, re, lw, rw, *legs]
    for name, (x, y) in zip(JOINTS, spots, strict=True):
        s.joint(name, x, y)
