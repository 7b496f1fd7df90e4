"""The places of the demo's scenes: the sky by the time of day, and the ground below it.

The pen's box is the whole image: (0, 0) is its upper left, (1, 1) its lower right corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from resdavenet_vq.demo.drawing import LAMPLIGHT, WHITE, Colour, Pen, mix, shade

SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((96, 168, 236), (190, 222, 246)),
    "sunset": ((232, 104, 70), (250, 196, 110)),
    "night": ((10, 14, 44), (34, 40, 86)),
}
"""Each time of day: the sky's colour at the top and at the bottom."""

_LIGHT = {"day": 1.0, "sunset": 0.86, "night": 0.5}
_HORIZON = (0.42, 0.54)


@dataclass(frozen=True)
class _Backdrop:
    """What the drawings of places share."""

    pen: Pen
    horizon: float
    light: float
    rng: np.random.Generator

    def lit(self, red: float, green: float, blue: float) -> Colour:
        """A colour in this light, with a random brightness."""
        return shade((int(red), int(green), int(blue)), self.light * self.rng.uniform(0.93, 1.07))

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def ground(self, colour: Colour) -> None:
        self.pen.rectangle(0, self.horizon, 1, 1, colour)


def draw(place: str, time: str, size: int, rng: np.random.Generator) -> tuple[Image.Image, float]:
    """An image of `size` pixels a side without objects, and the height of its horizon from 0 (top) to 1."""
    horizon = float(rng.uniform(*_HORIZON))
    top, bottom = (np.array(colour) for colour in SKIES[time])
    shares = np.linspace(0, 1, size)[:, None, None]
    sky = np.broadcast_to(top * (1 - shares) + bottom * shares, (size, size, 3))
    image = Image.fromarray(sky.astype(np.uint8))
    backdrop = _Backdrop(Pen(ImageDraw.Draw(image), (0, 0, size, size)), horizon, _LIGHT[time], rng)
    if place != INDOORS:
        _sky(backdrop, time)
    PLACES[place](backdrop)
    return image, horizon


def _sky(b: _Backdrop, time: str) -> None:
    """Sun, clouds, or moon and stars."""
    if time == "night":
        for _ in range(18):
            b.pen.oval(b.uniform(0, 1), b.uniform(0, b.horizon), 0.005, 0.005, (240, 240, 220))
        b.pen.oval(b.uniform(0.12, 0.85), 0.1, 0.05, 0.05, (238, 236, 210))
    elif time == "sunset":
        b.pen.oval(b.uniform(0.2, 0.8), b.horizon - 0.1, 0.09, 0.09, (255, 226, 130))
    else:
        for _ in range(b.rng.integers(1, 4)):
            x, y = b.uniform(0, 1), b.uniform(0.05, 0.6 * b.horizon)
            for step in range(3):
                b.pen.oval(x + 0.05 * step, y - (0.015 if step == 1 else 0), 0.05, 0.03, WHITE)


def _beach(b: _Backdrop) -> None:
    shore = b.horizon + 0.14
    b.pen.rectangle(0, b.horizon, 1, shore, b.lit(40, 120, 190))
    b.pen.rectangle(0, shore, 1, 1, b.lit(236, 214, 150))
    b.pen.line([(0, shore), (1, shore)], b.lit(250, 250, 250), 0.02)


def _desert(b: _Backdrop) -> None:
    b.ground(b.lit(222, 168, 88))
    for _ in range(3):
        b.pen.oval(b.uniform(0.1, 1.3), b.horizon + 0.2, 0.4, 0.28, b.lit(210, 152, 76))
    for _ in range(2):
        x, green = b.uniform(0.05, 0.95), b.lit(60, 120, 60)
        b.pen.rectangle(x - 0.015, b.horizon - 0.11, x + 0.015, b.horizon + 0.05, green)
        b.pen.rectangle(x - 0.055, b.horizon - 0.04, x + 0.055, b.horizon - 0.015, green)
        for arm, top in ((x - 0.045, 0.09), (x + 0.045, 0.075)):
            b.pen.rectangle(arm - 0.01, b.horizon - top, arm + 0.01, b.horizon - 0.015, green)


def _forest(b: _Backdrop) -> None:
    b.ground(b.lit(48, 84, 40))
    for number in range(12):
        x, half_width = (number + b.uniform(-0.4, 0.4)) / 11, b.uniform(0.06, 0.1)
        b.pen.rectangle(x - 0.008, b.horizon, x + 0.008, b.horizon + 0.1, b.lit(70, 46, 24))
        foot, top = b.horizon + 0.04, b.horizon - b.uniform(0.25, 0.44)
        b.pen.polygon([(x - half_width, foot), (x, top), (x + half_width, foot)], b.lit(22, 76, 40))


def _field(b: _Backdrop) -> None:
    b.ground(b.lit(112, 186, 70))
    for number in range(5):
        b.pen.line([((number - 1) / 3, 1), (0.5 + 0.06 * (number - 2), b.horizon)], b.lit(88, 160, 54), 0.025)


def _mountain(b: _Backdrop) -> None:
    for number in range(4):
        x, half_width = (number + b.uniform(-0.2, 0.2)) / 3, b.uniform(0.22, 0.34)
        foot, top = b.horizon + 0.01, b.horizon - b.uniform(0.2, 0.36)
        b.pen.polygon([(x - half_width, foot), (x, top), (x + half_width, foot)], b.lit(110, 104, 116))
        snow_line, snow_half = top + 0.3 * (foot - top), 0.3 * half_width
        b.pen.polygon([(x - snow_half, snow_line), (x, top), (x + snow_half, snow_line)], b.lit(250, 250, 255))
    b.ground(b.lit(120, 132, 96))


def _city(b: _Backdrop) -> None:
    left = 0.0
    while left < 1:
        width, top, tone = b.uniform(0.1, 0.17), b.horizon - b.uniform(0.12, 0.4), b.uniform(112, 172)
        b.pen.rectangle(left, top, left + width, b.horizon + 0.02, b.lit(tone, tone, tone))
        for x in np.arange(left + 0.02, left + width - 0.02, 0.03):
            for y in np.arange(top + 0.02, b.horizon - 0.01, 0.04):
                b.pen.rectangle(x, y, x + 0.012, y + 0.016, LAMPLIGHT if b.rng.random() < 0.6 else (70, 80, 100))
        left += width
    b.ground(b.lit(128, 128, 132))


def _lake(b: _Backdrop) -> None:
    left = -0.1
    while left < 1:
        width = b.uniform(0.3, 0.5)
        b.pen.oval(left + width / 2, b.horizon, width / 2, 0.12, b.lit(70, 120, 84))
        left += 0.7 * width
    b.ground(b.lit(58, 128, 176))
    for _ in range(14):
        x, y = b.uniform(-0.05, 1), b.uniform(b.horizon + 0.02, 0.9)
        b.pen.line([(x, y), (x + 0.1, y)], b.lit(120, 180, 214), 0.011)
    b.pen.rectangle(0, 0.93, 1, 1, b.lit(90, 140, 70))


def _snow(b: _Backdrop) -> None:
    b.ground(mix(b.lit(236, 242, 250), WHITE, 0.3))  # it shines in the dark
    for _ in range(3):
        b.pen.oval(b.uniform(0, 1), b.horizon + b.uniform(0.1, 0.5), 0.35, 0.08, mix(b.lit(222, 230, 242), WHITE, 0.2))
    for _ in range(40):
        b.pen.oval(b.uniform(0, 1), b.uniform(0, 1), 0.011, 0.011, (252, 252, 255))


def _kitchen(b: _Backdrop) -> None:
    b.pen.rectangle(0, 0, 1, 1, b.lit(238, 226, 200))
    joint = b.lit(206, 190, 160)
    for step in np.arange(0, 1, 0.1):
        b.pen.line([(step, 0), (step, b.horizon)], joint, 0.008)
        b.pen.line([(0, step), (1, step)], joint, 0.008)
    b.ground(b.lit(176, 124, 80))
    for y in np.arange(b.horizon, 1, 0.07):
        b.pen.line([(0, y), (1, y)], b.lit(140, 96, 60), 0.008)
    x = b.uniform(0.05, 0.6)
    b.pen.rectangle(x - 0.015, 0.045, x + 0.315, 0.295, WHITE)
    b.pen.rectangle(x, 0.06, x + 0.3, 0.28, b.lit(150, 200, 236))
    b.pen.line([(x + 0.15, 0.06), (x + 0.15, 0.28)], WHITE, 0.012)


def _street(b: _Backdrop) -> None:
    for left in (0.0, 0.25, 0.5, 0.75):
        top = b.horizon - b.uniform(0.2, 0.36)
        b.pen.rectangle(left, top, left + 0.25, b.horizon, b.lit(*b.rng.uniform(120, 210, 3)))
        b.pen.rectangle(left + 0.1, b.horizon - 0.1, left + 0.15, b.horizon, b.lit(80, 54, 40))
    b.ground(b.lit(150, 150, 150))
    b.pen.polygon([(0.3, b.horizon + 0.05), (0.7, b.horizon + 0.05), (1.1, 1), (-0.1, 1)], b.lit(70, 70, 74))
    for y in b.horizon + np.arange(0.08, 0.5, 0.11):
        b.pen.rectangle(0.485, y, 0.515, y + 0.05, (240, 240, 230))


INDOORS = "kitchen"
"""The place without a sky, where it is always day."""

PLACES = {
    place.__name__.removeprefix("_"): place
    for place in (_beach, _desert, _forest, _field, _mountain, _city, _lake, _snow, _kitchen, _street)
}
"""Every place, with its drawing."""
