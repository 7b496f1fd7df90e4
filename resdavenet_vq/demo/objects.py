"""The objects of the demo's scenes: how each is drawn, and how large.

A drawing fills the box of its pen with one main colour, which the caption names, and its darker and lighter shades;
other colours stay small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from resdavenet_vq.demo.drawing import BLACK, GREY, LAMPLIGHT, WHITE, WOOD, Colour, Pen, mix, shade


class Paint(NamedTuple):
    """An object's main colour, and its darker and lighter shade."""

    main: Colour
    dark: Colour
    light: Colour

    @classmethod
    def from_colour(cls, colour: Colour) -> Paint:
        """The three shades of a colour; black's dark one is lighter, so that parts stay visible."""
        if max(colour) < 40:
            return cls(colour, mix(colour, WHITE, 0.22), mix(colour, WHITE, 0.4))
        return cls(colour, shade(colour, 0.62), mix(colour, WHITE, 0.45))


class Kind(NamedTuple):
    """A kind of object: its drawing, its width as a share of the image's, its height per width, whether it may fly."""

    draw: Callable[[Pen, Paint], None]
    width: float
    height: float
    flies: bool = False


def _house(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0.7, 0.04, 0.82, 0.3, paint.dark)
    pen.rectangle(0.1, 0.42, 0.9, 1, paint.main)
    pen.polygon([(0, 0.45), (0.5, 0), (1, 0.45)], paint.dark)
    pen.rectangle(0.42, 0.65, 0.6, 1, WOOD)
    for left in (0.18, 0.68):
        pen.rectangle(left, 0.54, left + 0.16, 0.7, LAMPLIGHT)


def _tree(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0.43, 0.6, 0.57, 1, WOOD)
    pen.oval(0.5, 0.36, 0.42, 0.36, paint.main)
    pen.oval(0.3, 0.48, 0.26, 0.22, paint.dark)
    pen.oval(0.66, 0.3, 0.2, 0.16, paint.light)


def _boat(pen: Pen, paint: Paint) -> None:
    pen.polygon([(0, 0.68), (1, 0.68), (0.82, 1), (0.18, 1)], paint.main)
    pen.rectangle(0.02, 0.68, 0.98, 0.74, paint.dark)
    pen.rectangle(0.47, 0.02, 0.52, 0.68, WOOD)
    pen.polygon([(0.54, 0.05), (0.54, 0.6), (0.96, 0.6)], WHITE)
    pen.polygon([(0.45, 0.15), (0.45, 0.6), (0.1, 0.6)], paint.light)


def _car(pen: Pen, paint: Paint) -> None:
    glass = (190, 220, 240)
    pen.polygon([(0.2, 0.5), (0.32, 0.16), (0.7, 0.16), (0.84, 0.5)], paint.dark)
    pen.polygon([(0.36, 0.23), (0.5, 0.23), (0.5, 0.48), (0.28, 0.48)], glass)
    pen.polygon([(0.54, 0.23), (0.67, 0.23), (0.76, 0.48), (0.54, 0.48)], glass)
    pen.rectangle(0, 0.48, 1, 0.8, paint.main)
    pen.rectangle(0.94, 0.54, 1, 0.62, LAMPLIGHT)
    for x in (0.24, 0.76):
        pen.oval(x, 0.82, 0.13, 0.2, BLACK)
        pen.oval(x, 0.82, 0.06, 0.09, GREY)


def _ball(pen: Pen, paint: Paint) -> None:
    pen.oval(0.5, 0.5, 0.5, 0.5, paint.main)
    pen.line([(0.02, 0.5), (0.3, 0.62), (0.7, 0.62), (0.98, 0.5)], paint.dark, 0.06)
    pen.line([(0.5, 0.01), (0.4, 0.3), (0.4, 0.6), (0.5, 0.99)], paint.dark, 0.06)
    pen.oval(0.68, 0.28, 0.12, 0.12, paint.light)


def _cat(pen: Pen, paint: Paint) -> None:
    pen.line([(0.16, 0.84), (0.02, 0.62), (0.06, 0.4), (0.14, 0.3)], paint.main, 0.09)
    pen.oval(0.46, 0.7, 0.34, 0.29, paint.main)
    pen.oval(0.68, 0.36, 0.25, 0.24, paint.main)
    pen.polygon([(0.46, 0.28), (0.5, 0), (0.68, 0.16)], paint.main)
    pen.polygon([(0.68, 0.16), (0.88, 0), (0.92, 0.28)], paint.main)
    for x in (0.59, 0.78):
        pen.oval(x, 0.33, 0.055, 0.06, (245, 240, 110))
        pen.oval(x, 0.33, 0.02, 0.05, BLACK)
    pen.polygon([(0.65, 0.43), (0.73, 0.43), (0.69, 0.48)], paint.light)
    for left in (0.28, 0.56):
        pen.rectangle(left, 0.88, left + 0.13, 1, paint.dark)


def _bird(pen: Pen, paint: Paint) -> None:
    beak = (250, 170, 40)
    for x in (0.46, 0.57):
        pen.line([(x, 0.74), (x, 0.98)], beak, 0.04)
    pen.polygon([(0.22, 0.56), (-0.04, 0.42), (-0.02, 0.68)], paint.main)
    pen.oval(0.5, 0.58, 0.34, 0.2, paint.main)
    pen.oval(0.78, 0.38, 0.16, 0.15, paint.main)
    pen.polygon([(0.92, 0.32), (1.08, 0.4), (0.92, 0.46)], beak)
    pen.polygon([(0.28, 0.54), (0.62, 0.54), (0.26, 0.06)], paint.dark)
    pen.oval(0.83, 0.35, 0.04, 0.04, WHITE)
    pen.oval(0.84, 0.35, 0.02, 0.025, BLACK)


def _fish(pen: Pen, paint: Paint) -> None:
    pen.polygon([(0.36, 0.26), (0.6, 0), (0.64, 0.28)], paint.dark)
    pen.polygon([(0.78, 0.5), (1.04, 0.16), (1.04, 0.84)], paint.dark)
    pen.oval(0.44, 0.5, 0.42, 0.32, paint.main)
    for x in (0.42, 0.54, 0.66):
        pen.line([(x, 0.32), (x + 0.05, 0.5), (x, 0.68)], paint.light, 0.03)
    pen.oval(0.2, 0.43, 0.055, 0.075, WHITE)
    pen.oval(0.19, 0.43, 0.025, 0.04, BLACK)


def _flower(pen: Pen, paint: Paint) -> None:
    leaf = (40, 130, 50)
    pen.line([(0.5, 0.3), (0.5, 1)], leaf, 0.08)
    pen.oval(0.68, 0.78, 0.18, 0.06, leaf)
    pen.oval(0.32, 0.86, 0.18, 0.06, leaf)
    for turn in np.arange(6) * np.pi / 3:
        pen.oval(0.5 + 0.27 * np.cos(turn), 0.29 + 0.19 * np.sin(turn), 0.18, 0.13, paint.main)
    golden = paint.main[0] > 180 and paint.main[1] > 150 and paint.main[2] < 90
    pen.oval(0.5, 0.29, 0.14, 0.1, WOOD if golden else (250, 220, 60))


def _chair(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0.1, 0, 0.24, 1, paint.main)
    pen.rectangle(0.1, 0.5, 0.9, 0.62, paint.main)
    pen.rectangle(0.76, 0.6, 0.9, 1, paint.main)
    pen.rectangle(0.24, 0.62, 0.33, 0.9, paint.dark)
    pen.rectangle(0.62, 0.62, 0.71, 0.9, paint.dark)
    pen.rectangle(0.24, 0.08, 0.32, 0.44, paint.light)


def _table(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0.2, 0.4, 0.27, 0.84, paint.dark)
    pen.rectangle(0.73, 0.4, 0.8, 0.84, paint.dark)
    pen.polygon([(0.14, 0.14), (0.86, 0.14), (1, 0.4), (0, 0.4)], paint.main)
    pen.rectangle(0, 0.4, 1, 0.5, paint.dark)
    for left in (0.02, 0.89):
        pen.rectangle(left, 0.5, left + 0.09, 1, paint.main)


def _cup(pen: Pen, paint: Paint) -> None:
    pen.line([(0.74, 0.26), (0.95, 0.28), (1.0, 0.5), (0.9, 0.68), (0.7, 0.72)], paint.main, 0.1)
    pen.polygon([(0.06, 0.13), (0.8, 0.13), (0.7, 0.92), (0.6, 0.99), (0.26, 0.99), (0.16, 0.92)], paint.main)
    pen.oval(0.43, 0.13, 0.37, 0.11, paint.dark)
    pen.oval(0.43, 0.14, 0.29, 0.07, (92, 56, 30))
    pen.polygon([(0.16, 0.3), (0.24, 0.3), (0.3, 0.86), (0.23, 0.86)], paint.light)


def _umbrella(pen: Pen, paint: Paint) -> None:
    pen.line([(0.5, 0), (0.5, 0.9), (0.56, 0.98), (0.64, 0.97), (0.67, 0.88)], WOOD, 0.06)
    pen.oval(0.5, 0.5, 0.5, 0.44, paint.main, upper_half=True)
    pen.polygon([(0.33, 0.5), (0.5, 0.07), (0.67, 0.5)], paint.light)
    for x in (0.165, 0.5, 0.835):
        pen.oval(x, 0.51, 0.165, 0.07, paint.dark, upper_half=True)


def _tower(pen: Pen, paint: Paint) -> None:
    pen.polygon([(0.32, 0.24), (0.68, 0.24), (0.78, 1), (0.22, 1)], paint.main)
    pen.rectangle(0.22, 0.15, 0.78, 0.26, paint.dark)
    for left in (0.22, 0.43, 0.64):
        pen.rectangle(left, 0.04, left + 0.14, 0.16, paint.dark)
    pen.rectangle(0.43, 0.4, 0.57, 0.52, LAMPLIGHT)
    pen.rectangle(0.4, 0.8, 0.6, 1, WOOD)


def _bottle(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0.38, 0, 0.62, 0.09, paint.dark)
    pen.rectangle(0.41, 0.09, 0.59, 0.34, paint.main)
    pen.polygon([(0.41, 0.28), (0.59, 0.28), (0.78, 0.46), (0.78, 1), (0.22, 1), (0.22, 0.46)], paint.main)
    pen.rectangle(0.22, 0.6, 0.78, 0.8, (240, 236, 220))
    pen.rectangle(0.28, 0.48, 0.36, 0.58, paint.light)


def _clock(pen: Pen, paint: Paint) -> None:
    pen.oval(0.5, 0.5, 0.5, 0.5, paint.main)
    pen.oval(0.5, 0.5, 0.36, 0.36, WHITE)
    for x, y in ((0.5, 0.19), (0.5, 0.81), (0.19, 0.5), (0.81, 0.5)):
        pen.oval(x, y, 0.035, 0.035, BLACK)
    pen.line([(0.5, 0.24), (0.5, 0.5), (0.68, 0.6)], BLACK, 0.07)


def _bus(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0, 0.06, 1, 0.84, paint.main)
    for number in range(4):
        pen.rectangle(0.06 + 0.235 * number, 0.17, 0.24 + 0.235 * number, 0.46, (200, 226, 240))
    pen.rectangle(0, 0.55, 1, 0.62, paint.light)
    for x in (0.2, 0.8):
        pen.oval(x, 0.85, 0.1, 0.16, BLACK)
        pen.oval(x, 0.85, 0.045, 0.07, GREY)


def _lamp(pen: Pen, paint: Paint) -> None:
    pen.oval(0.5, 0.43, 0.26, 0.06, LAMPLIGHT)
    pen.polygon([(0.28, 0), (0.72, 0), (1, 0.42), (0, 0.42)], paint.main)
    pen.polygon([(0.34, 0.04), (0.44, 0.04), (0.34, 0.38), (0.16, 0.38)], paint.light)
    pen.rectangle(0.45, 0.42, 0.55, 0.92, GREY)
    pen.oval(0.5, 0.94, 0.3, 0.06, GREY)


def _tent(pen: Pen, paint: Paint) -> None:
    pen.line([(0.44, -0.04), (0.5, 0.08), (0.56, -0.04)], WOOD, 0.04)
    pen.polygon([(0.5, 0.05), (1, 1), (0, 1)], paint.main)
    pen.polygon([(0.5, 0.3), (0.68, 1), (0.32, 1)], paint.dark)
    pen.polygon([(0.5, 0.3), (0.5, 1), (0.4, 1)], BLACK)


def _kite(pen: Pen, paint: Paint) -> None:
    pen.polygon([(0.5, 0), (0.9, 0.34), (0.5, 0.72), (0.1, 0.34)], paint.main)
    pen.polygon([(0.5, 0), (0.9, 0.34), (0.5, 0.34)], paint.light)
    pen.polygon([(0.1, 0.34), (0.5, 0.34), (0.5, 0.72)], paint.dark)
    pen.line([(0.5, 0.72), (0.62, 0.8), (0.42, 0.88), (0.58, 1)], WHITE, 0.05)
    pen.polygon([(0.5, 0.8), (0.66, 0.76), (0.64, 0.88)], paint.main)


def _balloon(pen: Pen, paint: Paint) -> None:
    pen.line([(0.5, 0.66), (0.56, 0.84), (0.46, 1)], WHITE, 0.04)
    pen.oval(0.5, 0.34, 0.4, 0.34, paint.main)
    pen.polygon([(0.42, 0.74), (0.58, 0.74), (0.5, 0.65)], paint.dark)
    pen.oval(0.36, 0.22, 0.09, 0.09, paint.light)


def _bike(pen: Pen, paint: Paint) -> None:
    for x in (0.22, 0.78):
        turns = np.linspace(0, 2 * np.pi, 25)
        pen.line([(x + 0.2 * float(np.cos(t)), 0.7 + 0.27 * float(np.sin(t))) for t in turns], BLACK, 0.045)
    pen.line([(0.22, 0.7), (0.4, 0.3), (0.7, 0.3), (0.5, 0.7), (0.22, 0.7)], paint.main, 0.07)
    pen.line([(0.4, 0.3), (0.5, 0.7)], paint.main, 0.07)
    pen.line([(0.78, 0.7), (0.67, 0.14), (0.82, 0.1)], paint.main, 0.07)
    pen.line([(0.38, 0.3), (0.36, 0.2)], paint.main, 0.06)
    pen.line([(0.27, 0.18), (0.47, 0.18)], paint.dark, 0.09)


def _ladder(pen: Pen, paint: Paint) -> None:
    for number in range(5):
        y = 0.12 + 0.19 * number
        pen.line([(0.28 - 0.015 * number, y), (0.72 + 0.015 * number, y)], paint.dark, 0.11)
    pen.line([(0.16, 1), (0.3, 0)], paint.main, 0.13)
    pen.line([(0.84, 1), (0.7, 0)], paint.main, 0.13)


def _fence(pen: Pen, paint: Paint) -> None:
    pen.rectangle(0, 0.34, 1, 0.46, paint.dark)
    pen.rectangle(0, 0.7, 1, 0.82, paint.dark)
    for left in (0.02, 0.225, 0.43, 0.635, 0.84):
        pen.polygon([(left, 0.2), (left + 0.07, 0.02), (left + 0.14, 0.2), (left + 0.14, 1), (left, 1)], paint.main)


KINDS = {
    "house": Kind(_house, 0.34, 1.0),
    "tree": Kind(_tree, 0.34, 1.3),
    "boat": Kind(_boat, 0.34, 1.0),
    "car": Kind(_car, 0.38, 0.6),
    "ball": Kind(_ball, 0.24, 1.0),
    "cat": Kind(_cat, 0.3, 1.0),
    "bird": Kind(_bird, 0.3, 0.9, flies=True),
    "fish": Kind(_fish, 0.32, 0.65),
    "flower": Kind(_flower, 0.23, 1.5),
    "chair": Kind(_chair, 0.24, 1.3),
    "table": Kind(_table, 0.36, 0.7),
    "cup": Kind(_cup, 0.26, 0.95),
    "umbrella": Kind(_umbrella, 0.32, 1.15),
    "tower": Kind(_tower, 0.26, 1.8),
    "bottle": Kind(_bottle, 0.21, 1.7),
    "clock": Kind(_clock, 0.28, 1.0),
    "bus": Kind(_bus, 0.42, 0.62),
    "lamp": Kind(_lamp, 0.25, 1.4),
    "tent": Kind(_tent, 0.38, 0.85),
    "kite": Kind(_kite, 0.28, 1.3, flies=True),
    "balloon": Kind(_balloon, 0.26, 1.4, flies=True),
    "bike": Kind(_bike, 0.4, 0.72),
    "ladder": Kind(_ladder, 0.25, 1.7),
    "fence": Kind(_fence, 0.4, 0.75),
}
"""Every kind of object; a corpus with fewer has the first ones."""

COLOURS: dict[str, Colour] = {
    "red": (214, 40, 40),
    "blue": (38, 84, 214),
    "green": (36, 160, 60),
    "yellow": (246, 212, 40),
    "orange": (244, 130, 24),
    "purple": (132, 50, 180),
    "white": (245, 245, 245),
    "black": (24, 24, 28),
    "pink": (246, 130, 180),
    "brown": (122, 74, 36),
}
"""Every colour of objects; a corpus with fewer has the first ones."""
