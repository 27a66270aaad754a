"""Furniture, dishes and other things of the house."""

from __future__ import annotations

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
