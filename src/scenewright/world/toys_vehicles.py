"""Vehicles, facing right. Design units are given in each decorator."""

from __future__ import annotations

import math

from scenewright.world.sprite import Ink, Sprite
from scenewright.world.toys import toy


def _wheel(s: Sprite, x: float, y: float, r: float) -> None:
    with s.part("wheel"):
        s.oval(x, y, r, ink=Ink.BLACK)
        s.dot(x, y, r * 0.55, Ink.BODY)


@toy("car", (100, 54), (96, 60))
def car(s: Sprite, v: int) -> None:
    """0 saloon, 1 beetle."""
    if v == 0:
        with s.part("roof"):
            s.poly([(18, 26), (33, 4), (66, 4), (84, 26)])
        s.blob([(3, 28), (20, 22), (50, 21), (84, 22), (97, 29), (98, 42), (80, 45), (20, 45), (3, 43)])
        with s.part("windows"):
            s.poly([(30, 22), (38, 10), (48, 10), (48, 22)], Ink.GLASS)
            s.poly([(53, 22), (53, 10), (63, 10), (72, 22)], Ink.GLASS)
        s.thin([(50.5, 26), (50.5, 43)])
        s.rect(1, 29, 7, 35, Ink.RED, line=False)
        s.oval(93, 31, 4, 4, Ink.GOLD)
        _wheel(s, 24, 43, 9.5)
        _wheel(s, 77, 43, 9.5)
        return
    with s.part("roof"):
        s.blob(
            [(3, 42), (12, 22), (28, 6), (50, 2), (68, 10), (78, 24), (92, 30), (95, 44), (60, 50), (20, 50)]
        )
    with s.part("windows"):
        s.blob([(25, 23), (32, 14), (42, 12), (42, 24), (32, 25)], Ink.GLASS)
        s.blob([(49, 12), (58, 14), (66, 23), (58, 25), (49, 24)], Ink.GLASS)
    s.oval(90, 35, 4.5, 4.5, Ink.GOLD)
    s.thin([(45.5, 28), (45.5, 46)])
    _wheel(s, 24, 49, 10)
    _wheel(s, 74, 49, 10)


@toy("bus", (100, 58), (92, 78))
def bus(s: Sprite, v: int) -> None:
    """0 coach, 1 double decker."""
    high = (58.0, 78.0)[v]
    wide = (98.0, 90.0)[v]
    s.rect(2, 3, wide, high - 8, r=7)
    rows = (11.0,) if v == 0 else (9.0, 37.0)
    with s.part("windows"):
        for y in rows:
            count = 4 if y > 30 or v == 0 else 5
            step = (wide - (26 if count == 4 else 10)) / count
            for k in range(count):
                s.rect(8 + k * step, y, 4 + (k + 1) * step, y + 12, Ink.GLASS, r=1.5, line=False)
    top = rows[-1]
    with s.part("door"):
        s.rect(wide - 17, top, wide - 5, high - 9, Ink.GLASS, r=1)
        s.thin([(wide - 11, top), (wide - 11, high - 9)])
    s.rect(3, top + 20, wide - 18, top + 24, Ink.LIGHT, line=False)
    s.oval(wide - 2, high - 14, 2.5, 3, Ink.GOLD, line=False)
    _wheel(s, 22, high - 9, 8.5)
    _wheel(s, wide - 27, high - 9, 8.5)


@toy("truck", (100, 58), (100, 60))
def truck(s: Sprite, v: int) -> None:
    """0 box truck, 1 tipper."""
    s.rect(4, 42, 94, 48, Ink.DARK, line=False)
    if v == 0:
        with s.part("cargo"):
            s.rect(2, 2, 63, 44, r=2)
        for x in (17, 32, 47):
            s.thin([(x, 6), (x, 40)])
    else:
        with s.part("cargo"):
            s.blob([(14, 16), (24, 9), (38, 10), (52, 8), (60, 16)], Ink.BROWN)
            s.poly([(1, 13), (66, 13), (61, 43), (12, 43)])
        for x in (22, 36, 50):
            s.thin([(x, 16), (x, 41)])
    with s.part("cab"):
        s.poly([(68, 46), (68, 14), (85, 14), (93, 30), (98, 33), (98, 46)])
        s.poly([(74, 29), (74, 19), (83, 19), (88, 29)], Ink.GLASS)
    s.oval(95, 38, 3, 3, Ink.GOLD, line=False)
    for x in (16, 39, 82):
        _wheel(s, x, 48, 9)


@toy("train", (100, 66), (100, 52))
def train(s: Sprite, v: int) -> None:
    """0 steam engine, 1 railcar with a round nose."""
    if v == 0:
        with s.part("chimney"):
            s.poly([(74, 26), (71, 4), (87, 4), (84, 26)], Ink.SHADE)
        s.oval(52, 23, 6, 6, Ink.GOLD)
        with s.part("boiler"):
            s.rect(36, 22, 92, 48, r=8)
        with s.part("cab"):
            s.rect(6, 8, 40, 50)
            s.rect(1, 2, 45, 10, Ink.DEEP, r=2)
            s.rect(15, 16, 31, 28, Ink.GLASS)
        s.thin([(56, 23), (56, 47)], Ink.GOLD, 2.5)
        s.thin([(74, 23), (74, 47)], Ink.GOLD, 2.5)
        s.poly([(88, 48), (99, 62), (82, 62)], Ink.SHADE)
        s.rect(4, 47, 92, 53, Ink.SHADE)
        for x, r in ((17, 10.5), (41, 10.5), (62, 7), (78, 7)):
            with s.part("wheel"):
                s.oval(x, 64 - r, r, ink=Ink.DARK)
                s.dot(x, 64 - r, r * 0.62, Ink.BODY)
        return
    with s.part("cab"):
        s.blob([(2, 8), (30, 5), (60, 5), (78, 8), (92, 20), (98, 34), (96, 42), (50, 43), (2, 43)])
    with s.part("windows"):
        for x in (7, 24, 41, 58):
            s.rect(x, 13, x + 12, 25, Ink.GLASS, r=2, line=False)
        s.poly([(75, 13), (82, 14), (91, 26), (75, 26)], Ink.GLASS)
    s.rect(2, 30, 90, 34, Ink.LIGHT, line=False)
    s.oval(94, 36, 3, 3, Ink.GOLD, line=False)
    for x in (14, 27, 68, 81):
        with s.part("wheel"):
            s.oval(x, 45, 5.5, ink=Ink.DARK)
    s.rect(0, 49.5, 100, 52, Ink.DARK, line=False)


@toy("aeroplane", (100, 54), (100, 56))
def aeroplane(s: Sprite, v: int) -> None:
    """0 airliner from the side, 1 propeller plane."""
    if v == 0:
        with s.part("wing"):
            s.poly([(50, 26), (66, 26), (42, 4), (32, 4)], Ink.SHADE)
        with s.part("tail"):
            s.poly([(2, 3), (14, 3), (29, 25), (8, 29)])
        with s.part("body"):
            s.blob([(3, 25), (25, 22), (60, 20), (84, 21), (98, 30), (86, 39), (50, 40), (20, 36)])
        with s.part("wing"):
            s.poly([(44, 32), (66, 32), (38, 53), (26, 53)])
        with s.part("windows"):
            for x in (30, 40, 50, 60, 70):
                s.rect(x, 24, x + 5, 29, Ink.GLASS, line=False)
            s.poly([(82, 22), (90, 26), (82, 28)], Ink.GLASS, line=False)
        return
    with s.part("tail"):
        s.poly([(2, 6), (14, 6), (24, 26), (6, 30)])
    with s.part("body"):
        s.blob([(3, 22), (30, 20), (60, 16), (82, 18), (92, 30), (82, 43), (55, 42), (25, 34)])
    with s.part("windows"):
        s.blob([(48, 19), (52, 8), (64, 8), (71, 18), (60, 21)], Ink.GLASS)
    with s.part("wing"):
        s.rect(30, 31, 72, 39, Ink.LIGHT, r=4)
    with s.part("propeller"):
        s.oval(96, 30, 2.6, 22, Ink.DARK, line=False)
        s.oval(94, 30, 5, 5, Ink.GOLD)
    s.stroke([(66, 42), (70, 48)], 3, Ink.DARK, line=False)
    with s.part("wheel"):
        s.oval(70, 50, 5, ink=Ink.BLACK)


@toy("boat", (92, 92), (100, 66))
def boat(s: Sprite, v: int) -> None:
    """0 sailing boat, 1 steam boat."""
    if v == 0:
        s.rect(43, 2, 48, 68, Ink.BROWN)
        with s.part("sail"):
            s.poly([(51, 6), (51, 58), (88, 58)])
            s.poly([(40, 14), (40, 58), (12, 58)], Ink.LIGHT)
        with s.part("hull"):
            s.poly([(2, 65), (90, 65), (74, 90), (18, 90)])
        s.rect(7, 70, 84, 74, Ink.WHITE, line=False)
        return
    with s.part("chimney"):
        s.rect(48, 3, 62, 24, Ink.DEEP)
        s.rect(48, 6, 62, 11, Ink.WHITE, line=False)
    with s.part("cabin"):
        s.rect(24, 20, 74, 38, Ink.WHITE)
        for x in (32, 49, 66):
            s.oval(x, 29, 4.5, ink=Ink.GLASS)
    with s.part("hull"):
        s.poly([(1, 36), (82, 36), (99, 30), (84, 64), (14, 64)])
    s.thin([(6, 46), (91, 46)], Ink.WHITE, 3.5)


@toy("bicycle", (100, 64), (100, 66))
def bicycle(s: Sprite, v: int) -> None:
    """0 racing frame, 1 step-through with a basket."""
    for x in (22, 78):
        with s.part("wheel"):
            s.oval(x, 42, 21)
            s.oval(x, 42, 12, ink=Ink.NONE)
            for k in range(3):
                dx, dy = 14 * math.cos(k * math.pi / 3 + 0.4), 14 * math.sin(k * math.pi / 3 + 0.4)
                s.thin([(x - dx, 42 - dy), (x + dx, 42 + dy)], Ink.GREY, 1.2)
            s.dot(x, 42, 3, Ink.DARK)
    with s.part("frame"):
        if v == 0:
            s.stroke([(22, 42), (47, 43), (70, 17), (38, 17), (22, 42)], 6.5)
            s.stroke([(36, 11), (47, 43)], 6)
            s.stroke([(68, 9), (78, 42)], 6)
        else:
            s.stroke([(22, 42), (47, 43), (72, 22)], 8)
            s.stroke([(34, 14), (47, 43)], 6.5)
            s.stroke([(68, 8), (78, 42)], 6.5)
            s.poly([(78, 9), (96, 9), (92, 21), (81, 21)], Ink.BROWN)
    with s.part("saddle"):
        s.stroke([(28, 10), (43, 10)], 6, Ink.BLACK)
    with s.part("handlebar"):
        s.stroke([(60, 5), (70, 6), (76, 12)] if v == 0 else [(58, 7), (70, 6)], 4, Ink.BLACK)
    with s.part("pedal"):
        s.oval(47, 43, 5, ink=Ink.DARK)


@toy("motorbike", (100, 64), (100, 66))
def motorbike(s: Sprite, v: int) -> None:
    """0 road machine, 1 scooter."""
    if v == 1:
        for x in (22, 82):
            with s.part("wheel"):
                s.oval(x, 53, 12, ink=Ink.BLACK)
                s.dot(x, 53, 7, Ink.BODY)
        s.blob(
            [
                (4, 46),
                (8, 28),
                (30, 22),
                (48, 28),
                (54, 46),
                (68, 46),
                (72, 20),
                (82, 18),
                (84, 42),
                (70, 56),
                (40, 58),
                (30, 46),
            ]
        )
        with s.part("saddle"):
            s.rect(10, 19, 48, 26, Ink.BLACK, r=3.4)
        with s.part("handlebar"):
            s.stroke([(76, 20), (72, 6), (62, 5)], 4, Ink.DARK)
        s.oval(81, 16, 6, ink=Ink.GOLD)
        return
    for x in (20, 80):
        with s.part("wheel"):
            s.oval(x, 44, 18.5, ink=Ink.BLACK)
            s.oval(x, 44, 14.5, line=False)
            s.dot(x, 44, 3.5, Ink.GREY)
    s.stroke([(80, 44), (68, 14)], 4.5, Ink.GREY)
    s.rect(40, 36, 58, 50, Ink.GREY, r=4)
    s.stroke([(14, 54), (44, 54)], 3.5, Ink.GREY)
    with s.part("tank"):
        s.blob(
            [
                (6, 22),
                (20, 18),
                (38, 22),
                (48, 14),
                (64, 13),
                (77, 22),
                (69, 38),
                (50, 44),
                (30, 43),
                (14, 35),
            ]
        )
    with s.part("saddle"):
        s.blob([(10, 20), (24, 14), (41, 19), (34, 23), (18, 22)], Ink.BLACK)
    with s.part("handlebar"):
        s.stroke([(58, 5), (70, 10)], 4, Ink.DARK)
    s.oval(77, 18, 6, ink=Ink.GOLD)


@toy("air balloon", (70, 100), (70, 100))
def air_balloon(s: Sprite, v: int) -> None:
    """0 vertical stripes, 1 a zigzag band."""
    s.thin([(22, 60), (28, 84)], Ink.DARK, 2)
    s.thin([(48, 60), (42, 84)], Ink.DARK, 2)
    with s.part("envelope"):
        s.blob([(35, 2), (56, 9), (67, 30), (62, 50), (46, 69), (24, 69), (8, 50), (3, 30), (14, 9)])
        if v == 0:
            s.blob(
                [(35, 2.5), (46, 20), (48, 40), (40, 69), (30, 69), (22, 40), (24, 20)], Ink.LIGHT, line=False
            )
            s.thin([(35, 3), (24, 20), (22, 40), (30, 69)])
            s.thin([(35, 3), (46, 20), (48, 40), (40, 69)])
        else:
            zig = [(4.5, 38), (15, 28), (25, 38), (35, 28), (45, 38), (55, 28), (65.5, 38)]
            s.poly(
                [*zig, (65, 44), (55, 36), (45, 46), (35, 36), (25, 46), (15, 36), (5, 44)],
                Ink.WHITE,
                line=False,
            )
    with s.part("basket"):
        s.rect(25, 82, 45, 98, Ink.BROWN, r=3)
        s.thin([(26, 88), (44, 88)], Ink.TAN, 2)
