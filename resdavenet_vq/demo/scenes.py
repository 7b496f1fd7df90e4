"""Scenes of the demo corpus: a place, a time of day and a few coloured objects side by side."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from resdavenet_vq.config import SpokenScenes
from resdavenet_vq.demo import backdrops
from resdavenet_vq.demo.drawing import Pen, shade
from resdavenet_vq.demo.objects import COLOURS, KINDS, Paint

_TIMES = ("day", "day", "day", "sunset", "night")
_SIZES = (None, None, "small", "big")
_SIDES = {1: ("middle",), 2: ("left", "right"), 3: ("left", "middle", "right")}
_NUMBER_OF_OBJECTS = (1, 1, 2, 2, 2, 3, 3)  # those that a corpus allows are drawn alike often

_SCALE = {"small": 0.7, None: 1.1, "big": 1.5}
_SCALE_OF_THREE = 0.85
_CENTRE = {"left": (0.2, 0.3), "middle": (0.44, 0.56), "right": (0.7, 0.8)}
_IN_THE_AIR = 0.6
_LIGHT_AT_NIGHT = 0.72
_TILT = 0.08  # radians

_OVERSAMPLING = 2
_BRIGHTNESS = (0.9, 1.08)
_TEXTURES = ((10, 7.0), (40, 6.0))  # cells a side, and deviation of 255 levels
_GRAIN = 3.0


class Thing(NamedTuple):
    """An object of a scene; without a size it is of ordinary size."""

    name: str
    colour: str
    size: str | None
    side: str


class Scene(NamedTuple):
    """A place, a time of day and objects in order from left to right."""

    place: str
    time: str
    things: tuple[Thing, ...]

    @property
    def key(self) -> str:
        """The same for equal scenes only."""
        things = [f"{t.side} {t.size or 'ordinary'} {t.colour} {t.name}" for t in self.things]
        return "; ".join([f"{self.place} {self.time}", *things])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"place": self.place, "time": self.time, "objects": [thing._asdict() for thing in self.things]}


def sample(settings: SpokenScenes, rng: np.random.Generator) -> Scene:
    """A random scene with no two objects of the same kind or colour."""
    kinds, colours = list(KINDS)[: settings.objects], list(COLOURS)[: settings.colours]
    most = min(settings.max_objects, len(kinds), len(colours))
    numbers = [n for n in _NUMBER_OF_OBJECTS if n <= most]
    places = list(backdrops.PLACES)
    place = places[rng.integers(len(places))]
    time = _TIMES[rng.integers(len(_TIMES))]
    number = numbers[rng.integers(len(numbers))]
    names, paints = rng.permutation(len(kinds))[:number], rng.permutation(len(colours))[:number]
    sizes = rng.integers(len(_SIZES), size=number)
    things = (
        Thing(kinds[n], colours[c], _SIZES[s], side)
        for n, c, s, side in zip(names, paints, sizes, _SIDES[number], strict=True)
    )
    return Scene(place, "day" if place == backdrops.INDOORS else time, tuple(things))


def render(scene: Scene, size: int, rng: np.random.Generator) -> Image.Image:
    """The scene as a random RGB image of `size` pixels a side."""
    large = size * _OVERSAMPLING
    image, horizon = backdrops.draw(scene.place, scene.time, large, rng)
    draw = ImageDraw.Draw(image)
    crowding = _SCALE_OF_THREE if len(scene.things) == 3 else 1.0
    for thing in scene.things:
        kind = KINDS[thing.name]
        width = kind.width * _SCALE[thing.size] * crowding * rng.uniform(0.92, 1.08)
        height = width * kind.height
        centre = np.clip(rng.uniform(*_CENTRE[thing.side]), width / 2, 1 - width / 2)
        top = max(0.0, min(0.97, horizon + rng.uniform(0.2, 0.42)) - height)
        if kind.flies and rng.random() < _IN_THE_AIR:
            top = rng.uniform(0.06, 0.2)
        light = rng.uniform(0.86, 1.1) * (_LIGHT_AT_NIGHT if scene.time == "night" else 1.0)
        box = ((centre - width / 2) * large, top * large, width * large, height * large)
        pen = Pen(draw, box, rng.uniform(-_TILT, _TILT))
        kind.draw(pen, Paint.from_colour(shade(COLOURS[thing.colour], light)))
    return _photographed(image.resize((size, size), Image.Resampling.BOX), rng)


def _photographed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """With another brightness, two textures and grain."""
    size = image.width
    pixels = np.asarray(image, np.float32) * np.float32(rng.uniform(*_BRIGHTNESS))
    for cells, deviation in _TEXTURES:
        levels = np.clip(rng.normal(128, deviation, (cells, cells)), 0, 255).astype(np.uint8)
        texture = Image.fromarray(levels).resize((size, size), Image.Resampling.BICUBIC)
        pixels += np.asarray(texture, np.float32)[:, :, None] - 128
    pixels += _GRAIN * rng.standard_normal((size, size, 1), np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
