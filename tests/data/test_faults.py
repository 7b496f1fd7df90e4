"""The common fault of many files is seen through what differs from file to file."""

import pytest

from resdavenet_vq.corpus import places
from resdavenet_vq.data.faults import common_fault


@pytest.mark.parametrize(
    ("reasons", "message"),
    [
        (["silent", "silent"], "All 2 have one fault: silent."),
        (["silent"], ""),
        (["silent", "wav: missing"], ""),
        (["wav: missing", "image: missing"], ""),
        (
            [
                "data[0]: wav: 'a\\\\b.wav' is a Windows path with a backslash; write",
                'data[1]: wav: "it\'s\\\\c.wav" is a Windows path with a backslash; write',
            ],
            "All 2 have one fault: wav: is a Windows path with a backslash.",
        ),
        (
            [
                "a.json: data[0].captions[3]: wav: missing; the keys of the row are 'x'",
                "b.json: data[7].caption: wav: missing",
            ],
            "All 2 have one fault: wav: missing.",
        ),
        (
            ["wav2capt.txt line 1: 'one' is no caption's number", "wav2capt.txt line 12: 'two' is no caption's number"],
            "All 2 have one fault: is no caption's number.",
        ),
    ],
)
def test_reasons_that_differ_in_place_and_names_alone_are_one_fault(reasons, message):
    assert common_fault([("x.wav", reason) for reason in reasons]) == message


def test_a_common_fault_of_relative_and_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = common_fault([("gone/a.wav", "no such file"), (f"{tmp_path}/gone/b.wav", "no such file")])
    assert text.startswith(f"No file at all lies below {tmp_path}/gone: there is no folder {tmp_path}/gone;")
    assert text.endswith("of Flickr8k audio_folder and image_folder)? The first is gone/a.wav.")


def test_a_list_of_another_layout_has_one_fault(tmp_path):
    caption = '{"image": "1.jpg", "caption": {"wav": "1.wav"}}'
    (tmp_path / "a.json").write_text(f'{{"data": [{caption}, {caption}]}}')
    refused = places.read(tmp_path / "a.json").refused
    assert common_fault([r[2:] for r in refused]) == (
        "All 2 have one fault: has `caption` as files of SpokenCOCO have and needs corpus.layout spoken_coco."
    )
