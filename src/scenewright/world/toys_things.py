"""Plants, food, buildings, balls and stars."""

from __future__ import annotations

import math

from scenewright.world.sprite import Ink, Sprite
from scenewright.world.toys import toy


@toy("pottedplant", (70, 98), (72, 98))
def pottedplant(s: Sprite, v: int) -> None:
    """0 leafy, 1 flowering."""
    with s.part("plant"):
        if v == 0:
            for x, y, bx in ((8, 18, 22), (62, 18, 48), (22, 4, 30), (48, 4, 40), (35, 1, 35)):
                mx, my = (x + bx) / 2, (y + 46) / 2
                nx, ny = (46 - y) * 0.2, (bx - x) * -0.2
                s.blob([(bx, 50), (mx + nx, my - ny), (x, y), (mx - nx, my + ny)], Ink.LEAF)
        else:
            for x, y in ((16, 16), (36, 10), (56, 16)):
                s.stroke([(36, 50), (x, y)], 3, Ink.LEAF, line=False)
                for k in range(5):
                    angle = 2 * math.pi * k / 5
                    s.dot(x + 6 * math.cos(angle), y + 6 * math.sin(angle), 5.2, Ink.ROSE)
                s.dot(x, y, 4.4, Ink.GOLD)
            s.blob([(36, 50), (14, 44), (10, 34), (26, 38)], Ink.LEAF)
            s.blob([(36, 50), (58, 44), (62, 34), (46, 38)], Ink.LEAF)
    with s.part("pot"):
        s.poly([(7, 52), (64, 52), (56, 97), (15, 97)])
        s.rect(2, 44, 69, 58, r=2)


@toy("basketball", (100, 100), (100, 100))
def basketball(s: Sprite, v: int) -> None:
    """Upright or turned seams."""
    s.oval(50, 50, 48)
    if v == 0:
        lines = [[(50, 3), (50, 97)], [(3, 50), (97, 50)]]
    else:
        lines = [[(16, 84), (84, 16)], [(16, 16), (84, 84)]]
    for line in lines:
        s.thin(line, Ink.BLACK, 3.5)
    for side in (-1, 1):
        bow = [
            (50 + side * (46 - 26 * math.cos(t)), 50 + 36 * math.sin(t)) for t in (-1.15, -0.6, 0, 0.6, 1.15)
        ]
        if v == 1:
            bow = [
                (50 + (x - 50) * 0.707 - (y - 50) * 0.707, 50 + (x - 50) * 0.707 + (y - 50) * 0.707)
                for x, y in bow
            ]
        s.curve(bow, 3.5, Ink.BLACK, line=False)


@toy("banana", (100, 66), (96, 84))
def banana(s: Sprite, v: int) -> None:
    """0 one, 1 a bunch."""
    if v == 0:
        s.blob(
            [
                (4, 12),
                (12, 12),
                (22, 28),
                (44, 38),
                (68, 36),
                (88, 22),
                (96, 26),
                (92, 42),
                (74, 58),
                (46, 62),
                (20, 50),
                (6, 30),
            ]
        )
        s.curve([(12, 22), (26, 40), (48, 50), (72, 46), (90, 33)], 2, Ink.LINE, line=False)
        with s.part("stem"):
            s.poly([(3, 14), (1, 2), (9, 1), (14, 13)], Ink.BROWN)
        s.poly([(88, 22), (97, 20), (99, 28), (93, 31)], Ink.DARK, line=False)
        return
    for k in range(3):
        dx, dy = k * 5, -k * 17
        s.blob(
            [
                (10 + dx, 14),
                (20, 12),
                (30, 36 + dy * 0.7),
                (50, 52 + dy),
                (78, 58 + dy),
                (92, 60 + dy),
                (90, 70 + dy),
                (66, 78 + dy),
                (36, 70 + dy),
                (14, 46 + dy * 0.6),
            ]
        )
        s.dot(92, 65 + dy, 4, Ink.DARK)
    with s.part("stem"):
        s.poly([(6, 16), (6, 2), (18, 2), (28, 16), (18, 24)], Ink.BROWN)


@toy("house", (92, 100), (100, 90))
def house(s: Sprite, v: int) -> None:
    """0 gable front, 1 long side."""
    if v == 0:
        with s.part("chimney"):
            s.rect(64, 8, 76, 36)
        s.rect(9, 40, 83, 98)
        with s.part("roof"):
            s.poly([(46, 2), (91, 42), (1, 42)], Ink.DEEP)
        with s.part("door"):
            s.rect(39, 70, 54, 98, Ink.BROWN)
            s.dot(52, 83, 1.8, Ink.GOLD)
        with s.part("windows"):
            for x in (17, 61):
                _window(s, x, 56, 13)
        return
    with s.part("chimney"):
        s.rect(20, 4, 32, 30)
    s.rect(6, 32, 94, 88)
    with s.part("roof"):
        s.poly([(18, 12), (82, 12), (99, 36), (1, 36)], Ink.DEEP)
    with s.part("door"):
        s.rect(64, 60, 78, 88, Ink.BROWN)
        s.dot(66, 73, 1.8, Ink.GOLD)
    with s.part("windows"):
        for x in (13, 36):
            _window(s, x, 54, 14)


def _window(s: Sprite, x: float, y: float, side: float) -> None:
    s.rect(x, y, x + side, y + side, Ink.GLASS)
    s.thin([(x + side / 2, y), (x + side / 2, y + side)])
    s.thin([(x, y + side / 2), (x + side, y + side / 2)])


@toy("tree", (84, 100), (76, 100))
def tree(s: Sprite, v: int) -> None:
    """0 round crown, 1 fir."""
    with s.part("trunk"):
        if v == 0:
            s.poly([(36, 98), (38, 50), (48, 50), (50, 98)], Ink.BROWN)
            s.stroke([(42, 66), (58, 54)], 5, Ink.BROWN)
        else:
            s.rect(31, 76, 45, 98, Ink.BROWN)
    with s.part("crown"):
        if v == 0:
            s.blob(
                [
                    (42, 2),
                    (60, 5),
                    (70, 18),
                    (82, 30),
                    (78, 48),
                    (66, 60),
                    (44, 64),
                    (20, 60),
                    (5, 48),
                    (2, 32),
                    (14, 18),
                    (24, 5),
                ]
            )
            for x, y in ((28, 24), (54, 20), (40, 42), (64, 42), (20, 44)):
                s.curve([(x - 6, y), (x, y + 4), (x + 6, y)], 2, Ink.LINE, line=False)
        else:
            for y, w in ((52, 36), (29, 29), (6, 22)):
                s.poly([(38, y - 4), (38 + w, y + 30), (38 - w, y + 30)])


@toy("umbrella", (100, 96), (100, 96))
def umbrella(s: Sprite, v: int) -> None:
    """0 panels in two shades, 1 striped."""
    with s.part("handle"):
        s.curve([(50, 4), (50, 50), (50, 82), (56, 92), (66, 90), (68, 80)], 5, Ink.BROWN)
    arc = [(50 - 48 * math.cos(t * math.pi / 10), 54 - 44 * math.sin(t * math.pi / 10)) for t in range(11)]
    scallop = []
    for x in (98, 74, 50, 26):
        scallop += [(x - 6, 50.5), (x - 12, 48.5), (x - 18, 50.5), (x - 24, 54)]
    with s.part("canopy"):
        s.poly(arc + scallop)
        if v == 0:
            s.poly(
                [(50, 10.5), (68, 26), (74, 54), (62, 48.5), (50, 54), (38, 48.5), (26, 54), (32, 26)],
                Ink.LIGHT,
                line=False,
            )
        for x in (26, 50, 74):
            s.curve([(50, 10), (50 + (x - 50) * 0.75, 28), (x, 54)], 2, Ink.LINE, line=False)
    s.stroke([(50, 3), (50, 10)], 3, Ink.BROWN)


@toy("star", (100, 96), (100, 96))
def star(s: Sprite, v: int) -> None:
    """0 faceted, 1 with a face."""
    inner = (22.0, 27.0)[v]
    ring = []
    for k in range(10):
        r = 52 if k % 2 == 0 else inner
        angle = math.pi * k / 5 - math.pi / 2
        ring.append((50 + r * math.cos(angle), 54 + r * math.sin(angle)))
    s.poly(ring)
    if v == 0:
        for k in range(0, 10, 2):
            s.poly([(50, 54), ring[k], ring[k + 1]], Ink.SHADE, line=False)
        return
    s.eye(42, 50, 5, 0)
    s.eye(58, 50, 5, 0)
    s.curve([(40, 62), (50, 69), (60, 62)], 2.6, Ink.BLACK, line=False)


@toy("flower", (76, 100), (76, 100))
def flower(s: Sprite, v: int) -> None:
    """0 daisy, 1 tulip."""
    s.stroke([(38, 50), (38, 97)], 5, Ink.LEAF)
    s.blob([(38, 94), (22, 88), (10, 70), (30, 76)], Ink.LEAF)
    with s.part("blossom"):
        if v == 0:
            for k in range(7):
                angle = 2 * math.pi * k / 7 - math.pi / 2
                s.oval(38 + 23 * math.cos(angle), 34 + 21 * math.sin(angle), 12.5, 12.5)
            s.oval(38, 34, 12, 11.5, Ink.GOLD)
            return
        s.blob(
            [(38, 64), (14, 56), (8, 30), (12, 4), (26, 16), (38, 2), (50, 16), (64, 4), (68, 30), (62, 56)]
        )
        s.curve([(26, 16), (24, 36), (36, 60)], 2, Ink.LINE, line=False)
        s.curve([(50, 16), (52, 36), (40, 60)], 2, Ink.LINE, line=False)
