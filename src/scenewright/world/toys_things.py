"""Furniture, food, plants and other things."""

from __future__ import annotations

import math

from scenewright.world.sprite import Ink, Sprite
from scenewright.world.toys import toy


@toy("bottle", (38, 100), (44, 100))
def bottle(s: Sprite, v: int) -> None:
    """0 slim with a round shoulder, 1 flask with a handle-less jug shape."""
    with s.part("neck"):
        s.rect(13, 12, 25, 36) if v == 0 else s.rect(16, 12, 28, 30)
    with s.part("body"):
        if v == 0:
            s.blob([(13, 28), (25, 28), (35, 44), (36, 70), (35, 96), (19, 98), (3, 96), (2, 70), (3, 44)])
        else:
            s.poly([(16, 26), (28, 26), (42, 46), (42, 98), (2, 98), (2, 46)])
    s.rect(*((12, 12, 26, 34) if v == 0 else (16, 12, 28, 30)), line=False)
    with s.part("cap"):
        s.rect(*((11, 2, 27, 13) if v == 0 else (13, 2, 31, 13)), Ink.DARK, r=2)
    with s.part("label"):
        s.rect(*((3, 60, 35, 80) if v == 0 else (9, 56, 35, 80)), Ink.WHITE, line=False)
        s.dot(19 if v == 0 else 22, 70 if v == 0 else 68, 6, Ink.LEAF)


@toy("chair", (64, 100), (72, 96))
def chair(s: Sprite, v: int) -> None:
    """0 kitchen chair with slats, 1 chair with a solid back."""
    if v == 0:
        with s.part("legs"):
            for x0, y0, x1, y1 in ((50, 56, 50, 84), (24, 60, 24, 84), (57, 62, 58, 97), (9, 62, 9, 97)):
                s.stroke([(x0, y0), (x1, y1)], 7)
        with s.part("back"):
            s.stroke([(8, 5), (9, 58)], 8)
            s.stroke([(40, 5), (40, 54)], 8)
            for y in (9, 24, 39):
                s.stroke([(8, y), (40, y)], 8)
        with s.part("seat"):
            s.poly([(5, 56), (40, 50), (61, 60), (60, 68), (6, 68)])
        return
    with s.part("legs"):
        for x0, x1 in ((16, 10), (58, 64)):
            s.stroke([(x0, 66), (x1, 92)], 8)
        for x in (27, 47):
            s.stroke([(x, 66), (x, 84)], 7, Ink.SHADE)
    with s.part("back"):
        s.blob([(16, 54), (10, 20), (16, 5), (36, 2), (56, 5), (62, 20), (56, 54)])
        s.blob([(22, 46), (19, 22), (23, 13), (36, 11), (49, 13), (53, 22), (50, 46)], Ink.SHADE, line=False)
    with s.part("seat"):
        s.rect(5, 52, 67, 68, r=6)


@toy("diningtable", (100, 62), (100, 66))
def diningtable(s: Sprite, v: int) -> None:
    """0 four legs, set for tea; 1 round on one foot with a cloth."""
    if v == 0:
        with s.part("legs"):
            for x, y in ((25, 46), (75, 46)):
                s.rect(x - 4, 24, x + 4, y, Ink.SHADE)
            for x in (10, 90):
                s.rect(x - 5, 26, x + 5, 61)
        with s.part("top"):
            s.poly([(18, 8), (82, 8), (99, 26), (1, 26)])
            s.rect(1, 26, 99, 34)
        s.oval(34, 17, 13, 5, Ink.WHITE)
        s.oval(66, 17, 13, 5, Ink.WHITE)
        s.oval(34, 17, 6, 2.2, Ink.GREY, line=False)
        s.oval(66, 17, 6, 2.2, Ink.GREY, line=False)
        return
    with s.part("legs"):
        s.poly([(44, 30), (56, 30), (55, 54), (74, 64), (26, 64), (45, 54)])
    with s.part("top"):
        cloth = [(1, 18), (99, 18), (96, 38)]
        cloth += [(96 - k * 11.5, 44 if k % 2 else 35) for k in range(9)]
        s.poly(cloth)
        s.oval(50, 18, 49, 14)
    s.oval(50, 17, 16, 6, Ink.WHITE)
    s.oval(45, 13, 5, 4.5, Ink.RED, line=False)
    s.oval(55, 13, 5, 4.5, Ink.LEAF, line=False)


@toy("sofa", (100, 58), (100, 62))
def sofa(s: Sprite, v: int) -> None:
    """0 three cushions, square arms; 1 two cushions, round arms."""
    for x in (14, 86):
        s.rect(x - 4, 48, x + 4, 57 + 4 * v, Ink.BROWN)
    with s.part("back"):
        if v == 0:
            s.rect(10, 3, 90, 38, r=6)
            s.thin([(37, 5), (37, 34)])
            s.thin([(63, 5), (63, 34)])
        else:
            s.blob([(8, 44), (10, 16), (24, 4), (50, 2), (76, 4), (90, 16), (92, 44)])
            s.thin([(50, 4), (50, 34)])
    with s.part("seat"):
        count = 3 - v
        step = 76 / count
        for k in range(count):
            s.rect(12 + k * step, 30, 12 + (k + 1) * step, 42, Ink.LIGHT, r=3)
        s.rect(8, 41, 92, 52 + 2 * v)
    with s.part("arms"):
        for x in (2, 84):
            s.rect(x, 20, x + 14, 53 + 2 * v, r=(4.0, 7.0)[v])


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


@toy("tvmonitor", (96, 84), (92, 90))
def tvmonitor(s: Sprite, v: int) -> None:
    """0 flat screen on a stand, 1 old set with an aerial."""
    if v == 0:
        with s.part("stand"):
            s.poly([(40, 58), (56, 58), (58, 76), (38, 76)])
            s.rect(22, 74, 74, 82, r=3)
        with s.part("frame"):
            s.rect(2, 2, 94, 64, r=5)
        with s.part("screen"):
            s.rect(17, 15, 79, 50, Ink.SCREEN)
            s.poly([(34, 16), (45, 16), (31, 49), (20, 49)], Ink.WHITE, line=False)
        return
    with s.part("aerial"):
        s.stroke([(46, 24), (26, 3)], 3, Ink.DARK, line=False)
        s.stroke([(46, 24), (68, 3)], 3, Ink.DARK, line=False)
    s.poly([(16, 80), (26, 80), (20, 90), (12, 90)], Ink.BROWN)
    s.poly([(66, 80), (76, 80), (80, 90), (72, 90)], Ink.BROWN)
    with s.part("frame"):
        s.rect(2, 22, 90, 82, r=9)
    with s.part("screen"):
        s.rect(13, 34, 58, 70, Ink.SCREEN, r=8)
        s.poly([(27, 36), (36, 36), (27, 68), (18, 68)], Ink.WHITE, line=False)
    for y in (38, 53):
        s.oval(75, y, 5, ink=Ink.GOLD)
    for y in (64, 70):
        s.thin([(69, y), (81, y)])


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


@toy("mug", (96, 84), (100, 76))
def mug(s: Sprite, v: int) -> None:
    """0 tall, 1 wide with a heart."""
    if v == 0:
        with s.part("handle"):
            s.oval(69, 45, 24, 22)
            s.oval(69, 45, 13, 11.5, Ink.NONE)
        with s.part("body"):
            s.rect(4, 10, 68, 82, r=6)
        s.rect(4.5, 60, 67.5, 68, Ink.LIGHT, line=False)
        s.oval(36, 10, 32, 8, Ink.LIGHT)
        s.oval(36, 11, 25, 5, Ink.BROWN, line=False)
        return
    with s.part("handle"):
        s.oval(74, 36, 23, 19)
        s.oval(74, 36, 12, 9, Ink.NONE)
    with s.part("body"):
        s.blob([(3, 10), (74, 10), (75, 40), (66, 66), (50, 73), (26, 73), (10, 66), (2, 40)])
    s.oval(39, 10, 36, 8, Ink.LIGHT)
    s.oval(39, 11, 28, 5, Ink.BROWN, line=False)
    s.blob([(38, 38), (46, 31), (53, 38), (38, 56), (23, 38), (30, 31)], Ink.WHITE, line=False)


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


@toy("cake", (96, 92), (92, 100))
def cake(s: Sprite, v: int) -> None:
    """0 birthday cake, 1 two tiers."""
    with s.part("candles"):
        for x in (28, 48, 68) if v == 0 else (46,):
            s.rect(x - 3, 14, x + 3, 32, Ink.WHITE)
            s.blob([(x, 1), (x + 4, 9), (x, 14), (x - 4, 9)], Ink.ORANGE, line=False)
    s.oval(48 - 2 * v, 86 + 7 * v, 45, 5, Ink.GREY)
    tiers = ((10, 30, 86, 84),) if v == 0 else ((8, 58, 84, 92), (22, 28, 70, 60))
    for x0, y0, x1, y1 in tiers:
        with s.part("tier"):
            s.rect(x0, y0, x1, y1, r=4)
            count = 5 if x1 - x0 > 60 else 4
            step = (x1 - x0) / count
            drip = [(x0, y0 + 5), (x1, y0 + 5), (x1, y0 + 8)]
            for k in range(count):
                x = x1 - k * step
                drip += [
                    (x - step * 0.25, y0 + 14),
                    (x - step * 0.5, y0 + 15),
                    (x - step * 0.75, y0 + 8),
                    (x - step, y0 + 8),
                ]
            s.poly(drip, Ink.WHITE)
            s.rect(x0, y0, x1, y0 + 7, Ink.WHITE, r=3.4, line=False)
            s.rect(x0, y1 - 9, x1, y1 - 5, Ink.SHADE, line=False)


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


@toy("lamp", (70, 100), (84, 100))
def lamp(s: Sprite, v: int) -> None:
    """0 table lamp, 1 desk lamp with a bent arm."""
    if v == 0:
        with s.part("stand"):
            s.rect(31, 50, 39, 88, Ink.GOLD)
            s.poly([(24, 84), (46, 84), (54, 98), (16, 98)])
        with s.part("bulb"):
            s.oval(35, 56, 9, 7, Ink.GOLD)
        with s.part("shade"):
            s.poly([(21, 3), (49, 3), (68, 54), (2, 54)])
            s.rect(3, 47, 67, 53, Ink.LIGHT, line=False)
        return
    with s.part("stand"):
        s.rect(8, 87, 58, 98, r=4)
        s.stroke([(28, 86), (14, 50), (48, 22)], 7)
        s.oval(14, 50, 6, ink=Ink.DARK)
    with s.part("bulb"):
        s.oval(61, 45, 12, 11, Ink.GOLD)
    with s.part("shade"):
        s.poly([(40, 12), (56, 3), (83, 38), (44, 56)])


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


@toy("hat", (100, 66), (100, 72))
def hat(s: Sprite, v: int) -> None:
    """0 cowboy hat, 1 top hat."""
    with s.part("crown"):
        if v == 0:
            s.blob([(24, 52), (28, 20), (36, 6), (50, 12), (64, 6), (72, 20), (76, 52)])
            s.poly([(25, 42), (75, 42), (77, 52), (23, 52)], Ink.DARK, line=False)
        else:
            s.poly([(22, 3), (78, 3), (74, 60), (26, 60)])
            s.poly([(24.5, 42), (75.5, 42), (74, 56), (26, 56)], Ink.GREY, line=False)
    with s.part("brim"):
        if v == 0:
            s.blob([(2, 36), (22, 50), (50, 54), (78, 50), (98, 36), (88, 58), (50, 66), (12, 58)])
        else:
            s.oval(50, 61, 49, 9)
