import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.corpus import check_read_or_refused

from resdavenet_vq.config import Flickr8k
from resdavenet_vq.corpus import flickr8k
from resdavenet_vq.errors import InputError

SPLIT_OF = {"a.jpg": "train", "b.jpg": "train", "c.jpg": "dev", "d.jpg": "test"}
WAV2CAPT = "".join(f"{image[0]}_{k}.wav {image} #{k}\n" for image in SPLIT_OF for k in range(5))
FILES = {
    "audio/wav2capt.txt": WAV2CAPT,
    "audio/wav2spk.txt": "".join(f"{row.split()[0]} {n % 3 + 1}\n" for n, row in enumerate(WAV2CAPT.splitlines())),
    "text/Flickr8k.token.txt": "".join(
        f"{image}#{k}\tA caption , number {k} .\n" for image in SPLIT_OF for k in range(5)
    ),
} | {
    f"text/Flickr_8k.{split}Images.txt": "".join(f"{i}\n" for i, s in SPLIT_OF.items() if s == split)
    for split in ("train", "dev", "test")
}


def section(folder, **more):
    values = {"layout": "flickr8k", "name": "flickr8k", **more} | {
        f"{kind}_folder": str(folder / kind) for kind in ("audio", "text", "image")
    }
    return Flickr8k.model_validate_json(json.dumps(values))


def write(folder, **changes):
    """The files. A change by a file's stem (`wav2capt`, `trainImages`, ...) is new text, None, or added lines."""
    for name, text in FILES.items():
        change = changes.get(name.removesuffix(".txt").split("/")[1].split(".")[-1], text)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if change is not None:
            content = text + "".join(f"{line}\n" for line in change) if isinstance(change, list) else change
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def read(tmp_path):
    def read(split, **changes):
        write(tmp_path, **changes)
        return flickr8k.read(section(tmp_path), split)

    return read


def test_a_sound_corpus(read, tmp_path):
    manifest = read("train")
    assert [u.id for u in manifest.utterances] == [f"{i}_{k}" for i in "ab" for k in range(5)]
    assert [u.image_id for u in manifest.utterances] == ["a.jpg"] * 5 + ["b.jpg"] * 5
    third = manifest.utterances[2]
    assert (third.wav, third.image) == (tmp_path / "audio/wavs/a_2.wav", tmp_path / "image/a.jpg")
    assert (third.speaker, third.text, third.words) == ("3", "A caption , number 2 .", None)
    assert manifest.refused == []
    assert manifest.counted == {"no alignment": 10}
    assert [u.image_id for u in read("dev").utterances] == ["c.jpg"] * 5


def test_windows_line_ends_and_a_byte_order_mark(read):
    manifest = read("dev", wav2capt="\ufeff" + WAV2CAPT.replace("\n", "\r\n"), devImages="c.jpg\r\n\r\n")
    assert len(manifest.utterances) == 5
    assert manifest.refused == []


def test_rows_that_cannot_be_used(read):
    rows = ["x.wav a.jpg", "../x.wav a.jpg #1", "x.wav /a.jpg #1", "x.wav a.jpg one", "a_0.wav a.jpg #7"]
    manifest = read("train", wav2capt=[*rows, "y.wav b.jpg #4", "c_0.wav c.jpg #9"])
    assert len(manifest.utterances) == 10
    assert [r.row for r in manifest.refused] == list(range(10, 16))
    assert [r.reason.split(": ", 1)[1] for r in manifest.refused] == [
        "2 fields instead of wav, image and #number: 'x.wav a.jpg'",
        "wav: '../x.wav' leads upwards with '..'; it must be below the base path",
        "image: '/a.jpg' is absolute; it must be below the base path",
        "'one' is no caption's number such as #0",
        "the utterance 'a_0' is on line 1 already",
        "the caption 'b.jpg#4' is on line 10 already",
    ]
    assert manifest.refused[0].reason.startswith("wav2capt.txt line 21: ")
    assert manifest.refused[4].file == "a_0.wav"


def test_images_in_no_split_are_counted(read):
    """The corpus has some: 2258277193_586949ec62.jpg.1 stands in its texts with a suffix too much."""
    odd = "2258277193_586949ec62.jpg.1"
    manifest = read("train", wav2capt=[f"odd_{k}.wav {odd} #{k}" for k in range(2)], token=[f"{odd}#0\tsome people"])
    assert len(manifest.utterances) == 10
    assert manifest.refused == []
    assert manifest.counted == {"no alignment": 10, "captions of images in no split": 2}
    assert manifest.noticed["captions of images in no split"][0] == f"wav2capt.txt line 21: odd_0.wav {odd}"


def test_missing_and_contradicting_texts_and_speakers(read):
    speakers = (
        FILES["audio/wav2spk.txt"].replace("a_0.wav 1\n", "").replace("a_1.wav 2\n", "a_1.wav 2 3\n")
        + "a_2.wav 77\nb_0.wav 3\nb_0.wav 3\n"
    )
    texts = (
        FILES["text/Flickr8k.token.txt"].replace("a.jpg#0\t", "a.jpg#0 ").replace("a.jpg#1\tA", "a.jpg#one\tA")
        + "a.jpg#2\tAnother\n"
    )
    manifest = read("train", wav2spk=speakers, token=texts)
    assert [u.speaker for u in manifest.utterances[:6]] == [None, None, None, "1", "2", "3"]
    assert [u.text is None for u in manifest.utterances[:6]] == [True, True, True, False, False, False]
    assert manifest.refused == []
    assert manifest.noticed == {
        "malformed speaker rows": ["wav2spk.txt line 1: a_1.wav 2 3"],
        "malformed text rows": [
            "Flickr8k.token.txt line 1: a.jpg#0 A caption , number 0 .",
            "Flickr8k.token.txt line 2: a.jpg#one\tA caption , number 1 .",
        ],
        "no speaker": ["a_0.wav", "a_1.wav"],
        "several speakers": ["a_2.wav"],
        "no text": ["a.jpg#0", "a.jpg#1"],
        "several texts": ["a.jpg#2"],
    }


def test_images_without_captions_and_listed_twice(read):
    manifest = read("train", trainImages=["a.jpg", "silent.jpg"])
    assert len(manifest.utterances) == 10
    assert manifest.noticed == {"images listed twice": ["a.jpg"], "images without captions": ["silent.jpg"]}


def test_an_image_in_two_splits_or_outside_is_an_error_that_names_all(read):
    with pytest.raises(InputError) as caught:
        read("train", testImages=["a.jpg", "c.jpg", "../e.jpg"])
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(".testImages.txt ")[1] for line in lines] == [
        "line 2: 'a.jpg' is in Flickr_8k.trainImages.txt too",
        "line 3: 'c.jpg' is in Flickr_8k.devImages.txt too",
        "line 4: '../e.jpg' leads upwards with '..'; it must be below the base path",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wav2capt": None}, r"wav2capt\.txt: no such file"),
        ({"wav2spk": None}, r"wav2spk\.txt: no such file"),
        ({"token": b"a.jpg#0\t\xff"}, r"Flickr8k\.token\.txt: not UTF-8 text"),
        ({"devImages": None}, r"Flickr_8k\.devImages\.txt: no such file"),
        ({"trainImages": "\n"}, r"Flickr_8k\.trainImages\.txt: lists no image"),
        ({"trainImages": "z.jpg\n"}, "no caption of any of the 1 images"),
        ({"wav2capt": ""}, "no caption of any of the 2 images"),
    ],
)
def test_unusable_files(read, changes, message):
    with pytest.raises(InputError, match=message):
        read("train", **changes)


KAGGLE = "image,caption\n" + "".join(
    f"{image},{text}\n"
    for image in SPLIT_OF
    for text in ("A dog .", '"A dog , a cat , and ""others"" ."', "Third .", "Fourth .", "Fifth .")
)


def with_texts(folder, text_file, content=None):
    write(folder, token=None)
    if content is not None:
        (folder / "text" / text_file).write_bytes(content.encode())
    return flickr8k.read(section(folder, text_file=text_file), "train")


@pytest.mark.parametrize("form", ["as it is", "Windows"])
def test_texts_of_kaggles_captions(tmp_path, form):
    content = KAGGLE if form == "as it is" else "\ufeff" + KAGGLE.replace("\n", "\r\n")
    manifest = with_texts(tmp_path, "captions.txt", content)
    texts = ["A dog .", 'A dog , a cat , and "others" .', "Third .", "Fourth .", "Fifth ."]
    assert [u.text for u in manifest.utterances] == texts * 2
    assert manifest.noticed == {}


def test_bad_rows_of_kaggles_captions_do_not_shift_the_others(tmp_path):
    rows = ['a.jpg,"no end', "a.jpg,one,two", "a.jpg,", "a.jpg,Fourth", "a.jpg", ",text"]
    manifest = with_texts(tmp_path, "captions.txt", "image,caption\n" + "\n".join(rows))
    assert [u.text for u in manifest.utterances[:5]] == ["no end", None, None, "Fourth", None]
    bad = [f"captions.txt line {n}: {rows[n - 2]}" for n in (3, 4, 6, 7)]
    assert manifest.noticed["malformed text rows"] == bad


def test_tokens_without_numbers_are_numbered_in_order(tmp_path):
    rows = [f"{image}\t{image} {k}" for k in range(5) for image in SPLIT_OF]
    manifest = with_texts(tmp_path, "Flickr8k.token.txt", "\n".join(rows))
    assert [u.text for u in manifest.utterances] == [f"{image} {k}" for image in ("a.jpg", "b.jpg") for k in range(5)]


def test_without_texts(tmp_path):
    manifest = with_texts(tmp_path, None)
    assert [u.text for u in manifest.utterances] == [None] * 10
    assert manifest.counted == {"no alignment": 10, "no text": 10}


def test_a_missing_file_of_texts_has_a_remedy(tmp_path):
    remedy = "put it there, or set corpus.text_file to the file that you have, or to null to continue without texts"
    with pytest.raises(InputError, match=f"^{tmp_path}/text/Flickr8k.token.txt: no such file; {remedy}$"):
        with_texts(tmp_path, "Flickr8k.token.txt")


def test_the_file_of_texts_is_one_of_the_files(tmp_path):
    def names(corpus):
        return [path.relative_to(tmp_path).as_posix() for path in flickr8k.files_of(corpus)]

    without = names(section(tmp_path, text_file=None))
    assert set(without) == FILES.keys() - {"text/Flickr8k.token.txt"}
    assert set(names(section(tmp_path))) == FILES.keys()
    assert set(names(section(tmp_path, text_file="captions.txt"))) == {*without, "text/captions.txt"}
    other = section(tmp_path, text_file=str(tmp_path / "kaggle/captions.txt"))
    assert set(names(other)) == {*without, "kaggle/captions.txt"}


def test_numbers_of_captions_without_a_mark(read):
    manifest = read("train", wav2capt=WAV2CAPT.replace("#", ""))
    assert [u.text for u in manifest.utterances] == [f"A caption , number {k} ." for k in range(5)] * 2


words = st.sampled_from(
    [
        "a.jpg",
        "b.jpg",
        "c.jpg",
        "a_0.wav",
        "x.wav",
        "#0",
        "#1",
        "a.jpg#0",
        "\t",
        " ",
        ",",
        '"',
        "image,caption",
        "/a",
        "..",
        "1",
        "\0",
    ]
) | st.text(max_size=4)
texts = st.lists(
    st.lists(words, max_size=4).map(" ".join) | st.lists(words, max_size=3).map("\t".join), max_size=6
).map("\n".join)
anything = texts.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=30)


FILE_STEMS = ("wav2capt", "wav2spk", "token", "trainImages", "devImages")


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FILE_STEMS, anything)))
def test_any_text_is_read_or_refused(tmp_path, changes):
    write(tmp_path, **changes)
    check_read_or_refused(lambda: flickr8k.read(section(tmp_path), "train"), tmp_path)
