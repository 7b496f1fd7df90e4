"""A pen that draws in the coordinates of a box, and colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

type Colour = tuple[int, int, int]
type Point = tuple[float, float]

WHITE: Colour = (250, 250, 245)
BLACK: Colour = (20, 20, 22)
GREY: Colour = (96, 96, 102)
WOOD: Colour = (120, 82, 48)
LAMPLIGHT: Colour = (250, 238, 170)

_CORNERS_OF_AN_OVAL = 28


def shade(colour: Colour, factor: float) -> Colour:
    """Darker for factors below 1, lighter above."""
    red, green, blue = (min(255, int(value * factor)) for value in colour)
    return red, green, blue


def mix(a: Colour, b: Colour, share_of_b: float) -> Colour:
    """Between two colours."""
    red, green, blue = (int(x * (1 - share_of_b) + y * share_of_b) for x, y in zip(a, b, strict=True))
    return red, green, blue


class Pen:
    """Draws on a box of a canvas in the box's coordinates: (0, 0) is its upper left, (1, 1) its lower right corner.

    `box` is (left, top, width, height) in pixels; `angle`, in radians, turns it around its centre.
    Points outside the box are allowed.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], angle: float = 0.0) -> None:
        left, top, width, height = box
        cosine, sine = np.cos(angle), np.sin(angle)
        self._draw = draw
        self._width = width
        self._axes = np.array([[width * cosine, width * sine], [-height * sine, height * cosine]])
        self._origin = np.array([left + width / 2, top + height / 2]) - np.array([0.5, 0.5]) @ self._axes

    def polygon(self, points: Sequence[Point] | np.ndarray, colour: Colour) -> None:
        """A filled polygon."""
        self._draw.polygon(self._pixels(points), fill=colour)

    def rectangle(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """A filled rectangle."""
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def oval(
        self, x: float, y: float, radius_x: float, radius_y: float, colour: Colour, *, upper_half: bool = False
    ) -> None:
        """A filled ellipse around (x, y), or only its upper half."""
        turns = np.linspace(np.pi, 2 * np.pi if upper_half else 3 * np.pi, _CORNERS_OF_AN_OVAL)
        self.polygon(np.stack([x + radius_x * np.cos(turns), y + radius_y * np.sin(turns)], axis=1), colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        """A line through the points; `width` is a share of the box's width."""
        self._draw.line(self._pixels(points), fill=colour, width=max(1, round(width * self._width)), joint="curve")

    def _pixels(self, points: Sequence[Point] | np.ndarray) -> list[float]:
        pixels: list[float] = (np.asarray(points) @ self._axes + self._origin).ravel().tolist()
        return pixels
