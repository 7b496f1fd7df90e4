"""Every fault of a configuration is one line: the dotted name, what must be there, what is there, and the remedy."""

import pytest
import yaml

from resdavenet_vq import config
from resdavenet_vq.errors import InputError

CORPUS = "layout: places, name: mine, metadata: {train: t.json, val: v.json, test: e.json}"
MINE = yaml.safe_load(f"""
corpus: {{{CORPUS}}}
lineages: ["{{}}", "{{}}->{{2,3}}"]
model: {{audio: {{widths: [8, 8, 8, 8, 8]}}, image: {{architecture: thin_resnet}}}}
training: {{split: train, validation_split: val}}
""")
WHOLE = (
    "A corpus is given whole, with its `layout` (spoken_scenes, places, spoken_coco or flickr8k) and all of its keys"
)
AS_MAPPING = "YAML reads {...} as a mapping"
YES_AND_NO = "YAML reads yes, no, on and off as true and false: write the word in quotes"


def faults(text, **below):
    """The lines of a configuration with sections from YAML."""
    with pytest.raises(InputError) as caught:
        config.read(MINE | below | yaml.safe_load(text))
    first, *lines = str(caught.value).splitlines()
    assert first == "The configuration has faults."
    return lines


@pytest.mark.parametrize(
    ("text", "line"),
    [
        # a corpus that is not whole, or of two layouts
        ("corpus: {name: x}", f"corpus.layout: missing. {WHOLE}"),
        ("corpus: {metadata: {train: t.json}}", f"corpus.layout: missing. {WHOLE}"),
        ("corpus: {layout: places, name: x}", "corpus.metadata: missing; a corpus is given whole, with all of its keys"),
        ("corpus: {layout: place}", "corpus.layout: must be spoken_scenes, places, spoken_coco or flickr8k, not 'place'; did you mean 'places'?"),
        ("corpus: {layout: no}", "corpus.layout: must be spoken_scenes, places, spoken_coco or flickr8k, not false"),
        (f"corpus: {{{CORPUS}, pairs: {{train: 3}}}}", "corpus.pairs: is a key of the layout spoken_scenes, not of places"),
        (f"corpus: {{{CORPUS}, karpathy_splits: k.json}}", "corpus.karpathy_splits: is a key of the layout spoken_coco, not of places"),
        (f"corpus: {{{CORPUS}, wavs: w}}", "corpus.wavs: no such key; known are layout"),
        ("corpus:", "corpus: nothing stands after the colon (null)"),
        ("corpus: [a.json]", 'corpus: must be a mapping, such as `key: value`, not ["a.json"]; lines that begin with a hyphen are a list'),
        # lineages
        ('lineages: ["{6}"]', "lineages.0: '{6}' is no lineage: stages are written like {2,3}, with numbers from 1 to 5, and joined by '->'"),
        ('lineages: ["{2}>{3}"]', "lineages.0: '{2}>{3}' is no lineage"),
        ('lineages: ["2"]', "lineages.0: '2' is no lineage"),
        ("lineages: [{2}]", f'lineages.0: must be text, not {{"2": null}}; {AS_MAPPING}: write it in quotes, "{{2}}"'),
        ("lineages: [{2, 3}]", '"{2,3}"'),
        ("lineages: [{}]", f'lineages.0: must be text, not {{}}; {AS_MAPPING}: write it in quotes, "{{}}"'),
        ("lineages: {2}", f'lineages: must be a list, not {{"2": null}}; {AS_MAPPING}: write ["{{2}}"]'),
        ('lineages: "{}"', "lineages: must be a list, not '{}'; write [\"{}\"]"),
        ("lineages: [2]", 'lineages.0: must be text, not 2; write it in quotes: "2"'),
        ("lineages:", "lineages: nothing stands after the colon"),
        ('released: {"{7}": a.zip}', "released.{7}: '{7}' is no lineage"),
        ("baselines: {kmeans_of: [{}]}", 'baselines.kmeans_of.0: must be text, not {}; YAML reads {...} as a mapping: write it in quotes, "{}"'),
        ('baselines: {kmeans_of: "{}"}', "baselines.kmeans_of: must be a list, not '{}'; write [\"{}\"]"),
        # texts that YAML reads as something else
        (f"corpus: {{{CORPUS.replace('mine', '2019')}}}", 'corpus.name: must be text, not 2019; write it in quotes: "2019"'),
        (f"corpus: {{{CORPUS.replace('mine', 'on')}}}", f"corpus.name: must be text, not true; {YES_AND_NO}"),
        ("corpus: {layout: places, name: x, metadata: {2019: t.json}}", "corpus.metadata.2019: YAML reads this key as 2019, not as text; write it in quotes"),
        ("corpus: {layout: places, name: x, metadata: {007: t.json}}", "corpus.metadata.7: YAML reads this key as 7, not as text; write it in quotes"),
        ("corpus: {layout: places, name: x, metadata: {no: t.json}}", "corpus.metadata.False: YAML reads this key as false, not as text; write it in quotes"),
        ("abx: {splits: [test, 2019]}", 'abx.splits.1: must be text, not 2019; write it in quotes: "2019"'),
        ("retrieval: {split: 1.5}", 'retrieval.split: must be text, not 1.5; write it in quotes: "1.5"'),
        ("training: {augmentation: no}", f"training.augmentation: must be 'none' or 'masks', not false; {YES_AND_NO}"),
        # other types
        ("abx: {splits: test}", "abx.splits: must be a list, not 'test'; write [test]"),
        ("seeds: 3", "seeds: must be a list, not 3; write [3]"),
        ('seeds: ["1", "2"]', "seeds.1: must be a whole number, not '2'; write it without quotes, and in a file: --config makes text"),
        ('training: {compute: {compile: "true"}}', "training.compute.compile: must be true or false, not 'true'; write it without quotes"),
        ('abx: {submission: {editions: ["2021"]}}', "abx.submission.editions.0: must be 2019, 2020 or 2021, not '2021'; write it without quotes"),
        ("abx: {submission: {author: ''}}", "abx.submission.author: must be text that is not empty, not ''"),
        ("abx: {convolutional_layers: [conv7]}", "abx.convolutional_layers.0: 'conv7' is no layer: quant1 ... quant5 or conv1 ... conv5"),
        ("model: {audio: {widths: [8, 8, 8]}, image: {architecture: resnet50}}", "model.audio.widths: must have 5 entries, not [8, 8, 8]"),
        ("noise: {snr_db: []}", "noise.snr_db: must have at least 1 entry, not 0"),
        ("training: [1]", "training: must be a mapping, such as `key: value`, not [1]; lines that begin with a hyphen are a list"),
        ("retrieval: test", "retrieval: must be a mapping, such as `key: value`, not 'test'"),
        ("baselines:", "baselines: nothing stands after the colon (null); give it a value, or leave the line out for the default"),
        ("external: {a b: {files: {test: x}, format: km, frame_period: 0.01}}", "external.a b: 'a b' is no name: it begins with a letter"),
        # what nothing uses
        ('training: {split: train, validation_split: val, overrides: {"{}->{2}": {epochs: 3}}}',
         "training.overrides.{}->{2}: is none of the lineages, nor an ancestor; did you mean '{}->{2,3}'?"),
        ("corpus: {layout: places, name: x, metadata: {}}", "training.split: the corpus has no split 'train'; known are none"),
        ("training: {split: trian, validation_split: val}", "training.split: the corpus has no split 'trian'; did you mean 'train'?"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_with_its_remedy(text, line):
    assert any(fault.startswith(line) or line in fault for fault in faults(text)), faults(text)
    assert not any("input should" in fault.lower() or "tuple" in fault.lower() for fault in faults(text))


def test_a_wrong_lineage_is_one_fault():
    assert len(faults('lineages: ["{6}"]')) == 1
    assert len(faults("model: {audio: {widths: [8]}, image: {architecture: resnet50}}")) == 1


SCENES = """
corpus: {layout: spoken_scenes, name: s, seed: 1, pairs: {train: 4, val: 2}, word_lists: {unseen: 2}}
training: {split: unseen, validation_split: unseen}
"""


def test_models_do_not_learn_from_words_without_images():
    assert [line.split(" is a")[0] for line in faults(SCENES)] == [
        "training.split: 'unseen'",
        "training.validation_split: 'unseen'",
    ]
    assert config.read(MINE | yaml.safe_load(SCENES) | {"lineages": []}).training.split == "unseen"


def test_splits_that_nothing_reads_need_not_be_there():
    """Without lineages, or with imported ones, nothing is trained."""
    only = {"corpus": {"layout": "places", "name": "mine", "metadata": {"test": "t.json"}}}
    off = {"baselines": {"untrained": False}}
    assert config.read(MINE | only | off | {"lineages": []}).lineages == ()
    assert config.read(MINE | only | {"baselines": {"untrained": False, "kmeans": False}, "released": {"{}": "a.zip"}, "lineages": ["{}"]})  # fmt: skip
    assert "training.split: the corpus has no split 'train'; known are test" in faults("lineages: []", **only)
    trained = faults("seeds: []", **only)
    assert [line.split(":")[0] for line in trained] == ["training.split", "training.validation_split"]


def test_settings_of_an_imported_lineage_are_no_fault():
    training = MINE["training"] | {"overrides": {"{}": {"epochs": 1}, "{}->{2,3}": {"epochs": 2}}}
    assert config.read(MINE | {"training": training, "released": {"{}": "a.zip", "{}->{2,3}": "b.zip"}}).released


def test_a_null_abx_scores_no_split():
    assert config.read(MINE | {"abx": None}).abx.splits == ()
