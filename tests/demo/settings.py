from resdavenet_vq.config import SpokenScenes


def settings(**changes):
    values = {"layout": "spoken_scenes", "name": "test", "seed": 3, "pairs": {"train": 9, "val": 3, "test": 3}}
    return SpokenScenes.model_validate(values | {"word_lists": {"unseen": 4}, "image_size": 48} | changes)


LARGEST = settings(objects=24, colours=10, max_objects=3)
