import numpy as np
import pytest
from demo.settings import settings

from resdavenet_vq.demo import backdrops, scenes
from resdavenet_vq.demo.objects import COLOURS, KINDS


@pytest.mark.parametrize(
    ("objects", "colours", "most"), [(2, 2, 1), (2, 10, 3), (24, 2, 3), (16, 8, 2), (24, 10, 3), (24, 10, 1)]
)
def test_scenes_have_what_the_settings_allow_and_all_of_it(objects, colours, most):
    rng = np.random.default_rng(1)
    sampled = [scenes.sample(settings(objects=objects, colours=colours, max_objects=most), rng) for _ in range(1500)]
    things = [thing for scene in sampled for thing in scene.things]
    assert {t.name for t in things} == set(list(KINDS)[:objects])
    assert {t.colour for t in things} == set(list(COLOURS)[:colours])
    assert {len(s.things) for s in sampled} == set(range(1, min(most, objects, colours) + 1))
    assert {s.place for s in sampled} == set(backdrops.PLACES)
    assert {s.time for s in sampled} == set(backdrops.SKIES)
    assert {t.size for t in things} == {None, "small", "big"}
    for scene in sampled:
        assert all(len({t[i] for t in scene.things}) == len(scene.things) for i in (0, 1, 3))  # names, colours, sides
        assert scene.place != backdrops.INDOORS or scene.time == "day"


def test_keys_tell_scenes_apart():
    rng = np.random.default_rng(1)
    sampled = [scenes.sample(settings(objects=3, colours=2), rng) for _ in range(3000)]
    assert len({s.key for s in sampled}) == len(set(sampled)) < 3000


@pytest.mark.parametrize("place", backdrops.PLACES)
@pytest.mark.parametrize("time", backdrops.SKIES)
def test_every_place_at_every_time_is_drawn(place, time):
    rng = np.random.default_rng(2)
    image = scenes.render(scenes.Scene(place, time, ()), 64, rng)
    assert image.size == (64, 64)
    assert image.mode == "RGB"
    assert np.asarray(image).std() > 10


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [None, "small", "big"])
def test_every_object_changes_the_middle_and_little_else(name, size):
    def picture(*things):
        return np.asarray(scenes.render(scenes.Scene("beach", "day", things), 64, np.random.default_rng(5)), float)

    thing = scenes.Thing(name, "purple", size, "middle")
    a, b = picture(thing), picture()
    change = np.abs(a - b * (np.median(a) / np.median(b))) > 40  # without their own brightness
    assert change.any(axis=2).mean() > 0.01
    assert change[:, 20:44].any(axis=2).mean() > change[:, :12].any(axis=2).mean()


@pytest.mark.parametrize("size", [32, 33, 256])
def test_any_size(size):
    scene = scenes.sample(settings(max_objects=3), np.random.default_rng(1))
    assert scenes.render(scene, size, np.random.default_rng(1)).size == (size, size)
