"""Animals, facing right."""

from __future__ import annotations

from scenewright.world.sprite import Ink, Sprite
from scenewright.world.toys import toy


@toy("cat", (76, 100), (100, 76))
def cat(s: Sprite, v: int) -> None:
    """0 sitting towards us, 1 walking."""
    if v == 0:
        with s.part("tail"):
            s.curve([(54, 90), (70, 84), (71, 64), (64, 54)], 8)
        s.blob([(22, 94), (18, 72), (26, 50), (38, 46), (50, 50), (58, 72), (56, 94), (38, 98)])
        s.thin([(38, 80), (38, 97)])
        _cat_head(s, 38, 30, 1.0)
        for x in (29, 47):
            s.oval(x, 95, 8, 4.5)
        return
    with s.part("tail"):
        s.curve([(14, 42), (4, 30), (6, 12), (14, 8)], 7)
    with s.part("legs"):
        for x in (20, 34, 54, 66):
            s.stroke([(x, 50), (x, 71)], 9)
    s.blob([(10, 44), (16, 34), (40, 34), (66, 34), (72, 46), (64, 58), (40, 58), (16, 57)])
    _cat_head(s, 74, 29, 0.86)


def _cat_head(s: Sprite, x: float, y: float, k: float) -> None:
    with s.part("head"):
        for side in (-1, 1):
            s.poly(
                [(x + side * 26 * k, y - 28 * k), (x + side * 27 * k, y + 2), (x + side * 5 * k, y - 18 * k)]
            )
            tip = [
                (x + side * 22 * k, y - 21 * k),
                (x + side * 23 * k, y - 8 * k),
                (x + side * 12 * k, y - 15 * k),
            ]
            s.poly(tip, Ink.ROSE, line=False)
        s.oval(x, y, 28 * k, 22 * k)
        s.eye(x - 11 * k, y - 3 * k, 6.5 * k, 0.1)
        s.eye(x + 11 * k, y - 3 * k, 6.5 * k, 0.1)
        s.poly([(x - 4 * k, y + 6 * k), (x + 4 * k, y + 6 * k), (x, y + 11 * k)], Ink.ROSE, line=False)
        for side in (-1, 1):
            s.thin([(x + side * 12 * k, y + 8 * k), (x + side * 31 * k, y + 4 * k)], width=1.3)
            s.thin([(x + side * 12 * k, y + 11 * k), (x + side * 30 * k, y + 14 * k)], width=1.3)


@toy("dog", (100, 82), (78, 100))
def dog(s: Sprite, v: int) -> None:
    """0 standing, 1 sitting."""
    if v == 0:
        with s.part("tail"):
            s.curve([(14, 42), (5, 32), (3, 18)], 7)
        with s.part("legs"):
            for x in (17, 29, 52, 64):
                s.stroke([(x, 54), (x, 76)], 10)
        s.blob([(9, 46), (16, 36), (40, 36), (64, 32), (73, 44), (68, 62), (40, 60), (15, 62)])
        _dog_head(s, 70, 24)
        return
    with s.part("tail"):
        s.curve([(14, 90), (4, 84), (3, 72)], 7)
    s.blob([(10, 94), (12, 72), (28, 50), (46, 42), (56, 54), (54, 80), (56, 95), (30, 98)])
    with s.part("legs"):
        s.stroke([(51, 66), (52, 94)], 10)
        s.oval(25, 86, 14, 11)
        s.oval(32, 95, 10, 4.5)
    _dog_head(s, 48, 26)


def _dog_head(s: Sprite, x: float, y: float) -> None:
    with s.part("head"):
        s.blob(
            [
                (x - 20, y - 8),
                (x - 8, y - 20),
                (x + 8, y - 17),
                (x + 16, y - 4),
                (x + 28, y),
                (x + 29, y + 10),
                (x + 14, y + 16),
                (x - 12, y + 17),
            ]
        )
        s.poly([(x + 13, y + 14), (x + 20, y + 14), (x + 18, y + 24), (x + 14, y + 24)], Ink.ROSE)
        s.oval(x + 27, y + 1, 5, 4.5, Ink.BLACK, line=False)
        s.eye(x + 5, y - 6, 5.5)
        s.thin([(x + 27, y + 8), (x + 14, y + 12)])
        with s.part("ear"):
            s.blob(
                [(x - 17, y - 15), (x - 7, y - 13), (x - 5, y + 6), (x - 12, y + 18), (x - 21, y + 8)],
                Ink.DEEP,
            )


@toy("horse", (100, 96), (100, 96))
def horse(s: Sprite, v: int) -> None:
    """0 standing, 1 galloping."""
    with s.part("tail"):
        s.curve([(14, 44), (4, 52), (6, 74)] if v == 0 else [(14, 42), (3, 40), (0, 54)], 9, Ink.DARK)
    legs = (
        [[(19, 56), (19, 92)], [(30, 58), (30, 92)], [(56, 58), (56, 92)], [(67, 56), (67, 92)]]
        if v == 0
        else [
            [(20, 56), (8, 70), (4, 86)],
            [(28, 58), (22, 76), (10, 88)],
            [(58, 58), (76, 68), (74, 84)],
            [(66, 54), (84, 62), (92, 76)],
        ]
    )
    with s.part("legs"):
        for leg in legs:
            s.stroke(leg, 8)
            s.stroke([leg[-1], leg[-1]], 9, Ink.BLACK, line=False)
    s.blob([(11, 48), (18, 39), (40, 42), (58, 40), (73, 44), (72, 58), (60, 65), (36, 62), (18, 64)])
    with s.part("head"):
        s.poly([(56, 44), (66, 14), (80, 14), (76, 50), (68, 58)])
        s.poly([(72, 2), (79, 14), (70, 16)])
        s.blob([(66, 16), (76, 10), (86, 17), (98, 31), (95, 38), (87, 38), (74, 30)])
        s.eye(80, 19, 4)
        s.dot(94, 33, 2)
    with s.part("mane"):
        s.poly([(69, 8), (60, 14), (52, 30), (48, 44), (58, 42), (65, 24)], Ink.DARK)


@toy("cow", (100, 80), (100, 80))
def cow(s: Sprite, v: int) -> None:
    """0 with spots, head up; 1 grazing."""
    with s.part("tail"):
        s.curve([(10, 26), (3, 36), (4, 54)], 4)
        s.oval(4, 57, 4, 5, Ink.DARK, line=False)
    with s.part("legs"):
        for x in (16, 28, 54, 66):
            s.stroke([(x, 54), (x, 75)], 9)
    s.oval(42, 59, 8, 7, Ink.ROSE)
    s.blob([(7, 26), (24, 20), (48, 21), (70, 20), (77, 34), (74, 54), (48, 57), (20, 57), (8, 50)])
    s.blob([(22, 23), (33, 23), (34, 32), (27, 37), (20, 32)], Ink.WHITE, line=False)
    s.blob([(46, 40), (55, 37), (58, 46), (50, 51), (45, 47)], Ink.WHITE, line=False)
    dx, dy = ((0, 0), (4, 22))[v]
    with s.part("head"):
        s.curve([(70 + dx, 12 + dy), (65 + dx, 7 + dy), (68 + dx, 1 + dy)], 5, Ink.GOLD)
        s.curve([(86 + dx, 12 + dy), (92 + dx, 7 + dy), (89 + dx, 1 + dy)], 5, Ink.GOLD)
        s.oval(62 + dx, 18 + dy, 7, 4)
        s.oval(94 + dx - v * 2, 18 + dy, 6 - v, 4)
        s.blob(
            [
                (66 + dx, 12 + dy),
                (78 + dx, 8 + dy),
                (90 + dx, 12 + dy),
                (90 + dx, 30 + dy),
                (78 + dx, 38 + dy),
                (66 + dx, 30 + dy),
            ]
        )
        s.oval(78 + dx, 33 + dy, 14, 9, Ink.ROSE)
        s.dot(73 + dx, 32 + dy, 2.4)
        s.dot(83 + dx, 32 + dy, 2.4)
        s.eye(72 + dx, 18 + dy, 4)
        s.eye(84 + dx, 18 + dy, 4)


@toy("sheep", (100, 78), (86, 78))
def sheep(s: Sprite, v: int) -> None:
    """0 from the side, 1 looking at us."""
    legs = (26, 38, 58, 70) if v == 0 else (26, 38, 48, 60)
    with s.part("legs"):
        for x in legs:
            s.stroke([(x, 56), (x, 74)], 7, Ink.DARK)
    ring = [
        (12, 40),
        (14, 26),
        (26, 17),
        (40, 13),
        (54, 13),
        (68, 17),
        (78, 28),
        (78, 44),
        (70, 56),
        (54, 60),
        (38, 60),
        (22, 55),
    ]
    if v == 1:
        ring = [(x * 0.98 + 1, y) for x, y in ring]
    for x, y in ring:
        s.oval(x, y, 11.5)
    s.oval(46, 37, 34, 24, line=False)
    for x, y in ((32, 30), (52, 26), (46, 46), (64, 44), (24, 44)):
        s.curve([(x - 5, y), (x, y + 4), (x + 5, y)], 1.6, Ink.LINE, line=False)
    hx, hy = ((84, 34), (44, 36))[v]
    with s.part("head"):
        s.oval(hx - 15, hy - 5, 7, 4, Ink.DARK)
        s.oval(hx + 13 + 2 * v, hy - 5, 6, 4, Ink.DARK)
        s.blob(
            [(hx - 10, hy - 12), (hx + 9, hy - 12), (hx + 11, hy + 4), (hx, hy + 18), (hx - 9, hy + 6)],
            Ink.DARK,
        )
        s.eye(hx - 4, hy - 3, 4)
        s.eye(hx + 5, hy - 3, 4)
        s.oval(hx, hy - 14, 11, 6)


@toy("bird", (100, 76), (100, 66))
def bird(s: Sprite, v: int) -> None:
    """0 flying with a raised wing, 1 perched songbird."""
    if v == 0:
        with s.part("tail"):
            s.poly([(24, 46), (1, 36), (4, 48), (0, 58), (26, 56)])
        s.blob([(18, 50), (40, 42), (62, 36), (76, 42), (72, 58), (52, 66), (32, 62)])
        with s.part("head"):
            s.oval(76, 38, 15)
            s.poly([(88, 34), (100, 40), (88, 44)], Ink.ORANGE)
            s.eye(80, 34, 4.5)
        with s.part("wing"):
            s.blob([(36, 50), (30, 26), (18, 4), (42, 10), (58, 28), (62, 48), (50, 56)], Ink.SHADE)
            s.thin([(28, 14), (44, 40)])
            s.thin([(40, 14), (52, 38)])
        return
    with s.part("legs"):
        s.thin([(46, 50), (46, 64), (54, 64)], Ink.ORANGE, 3)
        s.thin([(56, 50), (56, 64), (64, 64)], Ink.ORANGE, 3)
    with s.part("tail"):
        s.poly([(24, 30), (0, 24), (2, 36), (24, 44)])
    s.blob([(18, 34), (40, 20), (62, 16), (78, 28), (74, 46), (56, 56), (34, 52)])
    with s.part("head"):
        s.oval(76, 19, 16)
        s.poly([(90, 16), (100, 21), (90, 25)], Ink.ORANGE)
        s.eye(80, 15, 4.5)
        s.poly([(70, 6), (60, 0), (64, 12)])
    with s.part("wing"):
        s.blob([(26, 30), (48, 26), (60, 36), (48, 48), (30, 44)], Ink.SHADE)


@toy("eagle", (100, 66), (100, 70))
def eagle(s: Sprite, v: int) -> None:
    """0 soaring, both wings spread; 1 wings raised."""
    lift = 0 if v == 0 else 14
    with s.part("tail"):
        s.poly([(43, 48), (57, 48), (63, 66), (50, 62), (37, 66)], Ink.WHITE)
    for side in (-1, 1):
        with s.part("wing"):
            wing = [
                (6, 24),
                (20, 12 - lift * 0.3),
                (38, 11 - lift * 0.6),
                (50, 20 - lift),
                (46, 29 - lift),
                (49, 37 - lift),
                (41, 38 - lift * 0.8),
                (43, 47 - lift * 0.6),
                (33, 45 - lift * 0.5),
                (32, 53 - lift * 0.3),
                (20, 49),
                (6, 52),
            ]
            s.poly([(50 + side * x, y) for x, y in wing])
            for x, y in ((39, 37 - lift * 0.8), (31, 44 - lift * 0.4), (19, 47)):
                s.thin([(50 + side * x, y), (50 + side * (x - 8), 22 - lift * 0.3)])
    s.blob([(50, 16), (60, 24), (60, 42), (50, 54), (40, 42), (40, 24)])
    with s.part("head"):
        s.oval(51, 13, 13, 12, Ink.WHITE)
        s.blob([(59, 9), (69, 9), (75, 16), (71, 23), (66, 17), (59, 19)], Ink.GOLD)
        s.dot(56, 10, 3.2)
        s.thin([(51, 5), (60, 8)], Ink.BLACK, 2)
    with s.part("claws"):
        for x in (43, 57):
            s.thin([(x, 50), (x, 57)], Ink.GOLD, 5)


@toy("duck", (100, 88), (100, 66))
def duck(s: Sprite, v: int) -> None:
    """0 standing, 1 swimming."""
    if v == 0:
        with s.part("legs"):
            for x in (42, 56):
                s.stroke([(x, 66), (x, 82), (x + 9, 84)], 4, Ink.ORANGE)
    s.blob([(4, 36), (16, 44), (34, 40), (56, 44), (72, 40), (80, 52), (70, 68), (44, 72), (18, 66), (8, 54)])
    with s.part("head"):
        s.poly([(56, 48), (60, 26), (78, 26), (78, 54)], line=False)
        s.oval(70, 20, 18)
        s.blob([(84, 18), (98, 20), (99, 26), (88, 29), (82, 27)], Ink.ORANGE)
        s.eye(74, 14, 5)
        s.rect(60.5, 35, 78, 40, Ink.WHITE, line=False)
    with s.part("wing"):
        s.blob([(18, 50), (34, 46), (56, 50), (54, 60), (38, 64), (24, 60)], Ink.SHADE)


@toy("robin", (88, 90), (84, 90))
def robin(s: Sprite, v: int) -> None:
    """0 from the side, 1 from the front: round, thin legs, orange breast."""
    with s.part("legs"):
        for x in (38, 50):
            s.thin([(x, 70), (x, 88), (x + 8, 88)], Ink.DARK, 3)
    if v == 0:
        with s.part("tail"):
            s.poly([(18, 56), (0, 64), (4, 74), (26, 68)])
        s.blob([(14, 54), (22, 26), (46, 8), (68, 14), (76, 34), (70, 62), (46, 76), (24, 70)])
        with s.part("breast"):
            s.blob([(56, 30), (70, 28), (74, 42), (67, 60), (56, 64), (50, 48)], Ink.ORANGE, line=False)
        with s.part("wing"):
            s.blob([(16, 52), (32, 38), (46, 46), (42, 60), (24, 66)], Ink.SHADE)
        s.poly([(73, 22), (87, 27), (73, 31)], Ink.DARK)
        s.eye(62, 21, 5)
        return
    s.blob([(8, 50), (18, 22), (42, 6), (66, 22), (76, 50), (62, 72), (42, 77), (22, 72)])
    with s.part("breast"):
        s.blob([(26, 42), (42, 34), (58, 42), (56, 60), (42, 68), (28, 60)], Ink.ORANGE, line=False)
    with s.part("wing"):
        s.blob([(7, 46), (18, 40), (20, 58), (12, 66)], Ink.SHADE)
        s.blob([(77, 46), (66, 40), (64, 58), (72, 66)], Ink.SHADE)
    s.eye(33, 24, 5, 0)
    s.eye(51, 24, 5, 0)
    s.poly([(37, 30), (47, 30), (42, 39)], Ink.DARK)


@toy("monkey", (88, 100), (92, 100))
def monkey(s: Sprite, v: int) -> None:
    """0 sitting, 1 with one arm up."""
    with s.part("tail"):
        s.curve([(56, 88), (78, 92), (84, 74), (74, 64), (70, 74)], 5)
    with s.part("arms"):
        s.curve([(28, 56), (12, 68), (14, 82)], 9)
        s.curve([(52, 56), (68, 68), (64, 82)] if v == 0 else [(52, 58), (74, 52), (80, 28)], 9)
        s.oval(*((64, 84) if v == 0 else (80, 26)), 6, ink=Ink.TAN)
        s.oval(14, 84, 6, ink=Ink.TAN)
    s.blob([(24, 60), (40, 50), (56, 60), (58, 82), (40, 92), (22, 82)])
    s.oval(40, 75, 8, 9, Ink.TAN, line=False)
    with s.part("legs"):
        s.curve([(26, 84), (16, 92), (24, 96)], 8)
        s.curve([(54, 84), (64, 92), (56, 96)], 8)
    with s.part("head"):
        for x in (13, 67):
            s.oval(x, 28, 11)
            s.dot(x, 28, 6, Ink.TAN)
        s.oval(40, 28, 25, 25)
        s.oval(32, 24, 9.5, 11, Ink.TAN, line=False)
        s.oval(48, 24, 9.5, 11, Ink.TAN, line=False)
        s.oval(40, 39, 15, 11, Ink.TAN, line=False)
        s.dot(33, 24, 4.2)
        s.dot(47, 24, 4.2)
        s.dot(40, 33, 2.6)
        s.curve([(31, 41), (40, 46), (49, 41)], 2, Ink.BROWN, line=False)


@toy("fish", (100, 60), (92, 78))
def fish(s: Sprite, v: int) -> None:
    """0 long, 1 tall with stripes."""
    if v == 0:
        with s.part("tail"):
            s.poly([(26, 30), (2, 6), (9, 30), (2, 54)], Ink.SHADE)
        with s.part("fins"):
            s.poly([(42, 14), (58, 1), (72, 14)], Ink.SHADE)
            s.poly([(48, 46), (52, 59), (64, 46)], Ink.SHADE)
        s.blob([(20, 30), (40, 13), (66, 10), (88, 20), (98, 31), (88, 42), (66, 50), (40, 47)])
        s.thin([(70, 14), (66, 30), (70, 47)])
        for x, y in ((36, 24), (48, 22), (36, 36), (48, 37), (57, 30)):
            s.curve([(x + 3, y - 4), (x - 2, y), (x + 3, y + 4)], 1.8, Ink.LINE, line=False)
        s.eye(82, 25, 6)
        s.thin([(97, 33), (88, 36)])
        return
    with s.part("tail"):
        s.poly([(24, 39), (2, 20), (8, 39), (2, 58)], Ink.SHADE)
    with s.part("fins"):
        s.blob([(34, 18), (40, 2), (64, 2), (66, 16)], Ink.SHADE)
        s.blob([(34, 60), (40, 76), (60, 75), (64, 62)], Ink.SHADE)
    s.blob([(18, 39), (34, 16), (58, 11), (80, 24), (90, 40), (80, 55), (58, 67), (34, 62)])
    s.poly([(40, 16), (48, 14), (46, 65), (38, 62)], Ink.WHITE, line=False)
    s.poly([(60, 13), (67, 16), (66, 62), (59, 65)], Ink.WHITE, line=False)
    s.eye(77, 33, 6)
    s.thin([(89, 43), (81, 46)])
