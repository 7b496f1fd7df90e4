"""Files written as other tools write them, by these tests' own hands: what is imported is what they say."""

import json
import re

import numpy as np
import pytest
from clutter import litter
from external.made_elsewhere import NAMES, frames_of, imported, split_of

from resdavenet_vq.corpus import textgrid
from resdavenet_vq.corpus.manifest import Interval
from resdavenet_vq.encode.codes import CodesFile
from resdavenet_vq.encode.features import LayerFeatures
from resdavenet_vq.errors import InputError


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    return split_of(tmp_path_factory.mktemp("split"))


def text(codes, between=" "):
    return between.join(map(str, codes))


def write_km(folder, codes):
    """fairseq's simple_kmeans: labels line by line, and the manifest of wav2vec."""
    rows = [f"wavs/{name}.wav\t16000" for name in codes]
    (folder / "x.tsv").write_text("\n".join(["/data/corpus", *rows]) + "\n")
    (folder / "x.km").write_text("".join(f"{text(units)}\n" for units in codes.values()))
    return folder / "x.km"


def write_quantized(folder, codes):
    """quantized_outputs.txt of ZeroSpeech 2021."""
    (folder / "q.txt").write_text("\n".join(f"{name}\t{text(units, ',')}" for name, units in codes.items()))
    return folder / "q.txt"


def write_gslm(folder, codes):
    """quantize_with_kmeans of GSLM."""
    (folder / "g.txt").write_text("".join(f"{name}|{text(units)}\n" for name, units in codes.items()))
    return folder / "g.txt"


def write_npy(folder, codes):
    for name, units in codes.items():
        np.save(folder / f"{name}.npy", np.array(units, np.int16))
    return folder


def write_exported(folder, codes):
    """As `export-units --format npy` writes them: folders of ids, and the code vectors beside them."""
    (folder / "000").mkdir()
    write_npy(folder / "000", codes)
    np.save(folder / "codebook.npy", np.zeros((9, 4), np.float32))
    return folder


def write_savetxt(folder, codes):
    for name, units in codes.items():
        np.savetxt(folder / f"{name}.txt", np.array(units))
    return folder


def deduplicated(units):
    """Units without repeats, and how often each was repeated, as textlesslib has them."""
    kept, counts = [], []
    for unit in units:
        if kept and kept[-1] == unit:
            counts[-1] += 1
        else:
            kept.append(unit)
            counts.append(1)
    return kept, counts


def write_jsonl(folder, codes):
    """Lines with the units and durations of textlesslib's speech encoder."""
    lines = []
    for name, units in codes.items():
        kept, counts = deduplicated(units)
        lines.append(json.dumps({"file_name": f"/data/{name}.flac", "units": kept, "durations": counts}))
    (folder / "u.jsonl").write_text("\n".join(lines))
    return folder / "u.jsonl"


def write_vocoder(folder, codes):
    """Lines of fairseq's unit vocoder, as JSON."""
    lines = [json.dumps({"audio": f"/d/{name}.wav", "hubert": text(units)}) for name, units in codes.items()]
    (folder / "v.jsonl").write_text("\n".join(lines))
    return folder / "v.jsonl"


def write_hdf5(folder, codes):
    import h5py

    with h5py.File(folder / "u.h5", "w") as file:
        for name, units in codes.items():
            file[f"some/group/{name}"] = np.array(units, np.uint16)
    return folder / "u.h5"


FRAMES = {
    "km": [write_km],
    "txt": [write_quantized, write_gslm, write_savetxt],
    "npy": [write_npy, write_exported],
    "jsonl": [write_jsonl, write_vocoder],
    "hdf5": [write_hdf5],
}


@pytest.mark.parametrize(("form", "write"), [(form, write) for form, some in FRAMES.items() for write in some])
def test_a_unit_a_frame(split, tmp_path, form, write):
    codes = frames_of(split, 0.02)
    files = write(tmp_path, dict(reversed(codes.items())) | {"another": [1, 2, 3]})
    made = imported(split, tmp_path, files, format=form, frame_period=0.02)
    with CodesFile(made.codes, "units") as file:
        assert [some.tolist() for some in file.codes(0, len(file))] == list(codes.values())
        assert (file.ids, file.frame_period, file.codebook_size) == (list(NAMES), 0.02, 7)
        assert (file.begins(0, 1), file.labels) == (None, None)
    with LayerFeatures(made.features, "units") as file:
        assert [file.rows(i)[:, 0].tolist() for i in range(len(NAMES))] == list(codes.values())
        assert file.durations == pytest.approx([split.n_samples[i] / 16000 for i in range(len(NAMES))])
    assert made.report["matched"] == len(NAMES)
    assert made.report["not_in_the_split"] == {"count": 1, "first": [made.report["not_in_the_split"]["first"][0]]}
    assert "another" in made.report["not_in_the_split"]["first"][0]


def segments_of(split):
    """Segments of 10 ms frames that do not begin at 0, end early, and have a gap; two neighbours share a unit."""
    segments = {}
    for i, name in enumerate(NAMES):
        n = round(split.n_samples[i] / 160)
        segments[name] = [(2, 9, 4), (9, 12, 4), (15, n - 3, i)]
    return segments


def expected(split, gap):
    """Codes and begins, frame by frame."""
    codes, begins = [], []
    for i, segments in enumerate(segments_of(split).values()):
        n = round(split.n_samples[i] / 160)
        row, marks = [gap] * n, [False] * n
        marks[0] = True
        for start, end, unit in segments:
            row[start:end] = [unit] * (end - start)
            marks[start] = True
            if end < n:
                marks[end] = True
        codes.append(row)
        begins.append(marks)
    return codes, begins


def write_vqwordseg(folder, segments):
    """`intervals/`: start, end and code, in frames of 10 ms."""
    for name, rows in segments.items():
        (folder / f"{name}.txt").write_text("".join(f"{a} {b} {unit}\n" for a, b, unit in rows))
    return folder, {"frame_period": 0.01}


def write_csv(folder, segments):
    lines = [f"{name},{a / 100},{b / 100},{unit}" for name, rows in segments.items() for a, b, unit in rows[::-1]]
    (folder / "s.csv").write_text("\n".join(["file,onset,offset,label", *lines]))
    return folder / "s.csv", {}


def write_tsv_folder(folder, segments):
    for name, rows in segments.items():
        lines = [f"{unit}\t{a / 100}\t{b / 100}" for a, b, unit in rows]
        (folder / f"{name}.tsv").write_text("\n".join(["unit\tstart\tend", *lines]))
    return folder, {}


def write_textgrids(folder, segments):
    for name, rows in segments.items():
        tiers = {"words": [Interval(0.0, 0.1, "X")], "units": [Interval(a / 100, b / 100, str(u)) for a, b, u in rows]}
        textgrid.write(folder / f"{name}.TextGrid", tiers, 1.0)
    return folder, {}


def write_old_short_textgrids(folder, segments):
    """As the Penn aligner writes them, with one tier, and what stands between units as empty text."""
    for name, rows in segments.items():
        edges = [0, *(edge for a, b, _ in rows for edge in (a, b)), 100]
        texts = [text for _, _, unit in rows for text in ("", unit)] + [""]
        spans = [span for span in zip(edges[:-1], edges[1:], texts, strict=True) if span[0] < span[1]]
        lines = ['File type = "ooTextFile short"', '"TextGrid"', "", 0, 1, "<exists>", 1, '"IntervalTier"', '"codes"']
        lines += [0, 1, len(spans), *(f'{a / 100}\n{b / 100}\n"{text}"' for a, b, text in spans)]
        (folder / f"{name}.TextGrid").write_bytes("\r\n".join(map(str, lines)).encode("utf-16"))
    return folder, {}


def write_segment_lines(folder, segments):
    lines = [
        json.dumps({"id": name, "segments": [[a / 100, b / 100, u] for a, b, u in rows]})
        for name, rows in segments.items()
    ]
    (folder / "s.jsonl").write_text("\n".join(lines))
    return folder / "s.jsonl", {}


SEGMENTS = [
    write_vqwordseg,
    write_csv,
    write_tsv_folder,
    write_textgrids,
    write_old_short_textgrids,
    write_segment_lines,
]


@pytest.mark.parametrize("write", SEGMENTS)
def test_segments(split, tmp_path, write):
    files, more = write(tmp_path, segments_of(split))
    made = imported(split, tmp_path, files, format="segments", **more)
    codes, begins = expected(split, gap=5)
    with CodesFile(made.codes, "units") as file:
        assert [some.tolist() for some in file.codes(0, len(file))] == codes
        assert [some.tolist() for some in file.begins(0, len(file))] == begins
        assert (file.frame_period, file.codebook_size) == (0.01, 6)
    with LayerFeatures(made.features, "units") as file:
        assert [file.begins(i).tolist() for i in range(len(NAMES))] == begins
    assert (made.report["gap"], made.report["marked"]) == (5, True)


def test_units_with_names_are_numbered_over_all_splits(split, tmp_path):
    words = {name: [(0.0, 0.1, "23_12_"), (0.1, 0.2, "7_"), (0.2, 0.3, "7_")] for name in NAMES}
    files, _ = write_segment_lines(
        tmp_path, {n: [(100 * a, 100 * b, u) for a, b, u in rows] for n, rows in words.items()}
    )
    (tmp_path / "other.jsonl").write_text(json.dumps({"id": "z", "segments": [[0, 1, "1_"]]}))
    made = imported(split, tmp_path, files, format="segments", others={"train": tmp_path / "other.jsonl"})
    with CodesFile(made.codes, "units") as file:
        assert file.labels == ["1_", "23_12_", "7_", "(gap)"]
        assert file.codes(0, 1)[0][[0, 10, 29, 30]].tolist() == [1, 2, 2, 3]


def test_continuous_features(split, tmp_path):
    rng = np.random.default_rng(0)
    frames = {name: rng.normal(size=(len(codes), 3)).round(3) for name, codes in frames_of(split, 0.02).items()}
    (tmp_path / "a/phonetic/test").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for name, rows in frames.items():
        lines = [" ".join(f"{value:.3f}" for value in row) for row in rows]
        (tmp_path / f"a/phonetic/test/{name}.txt").write_text("\n".join(lines) + "\n")
        np.save(tmp_path / f"b/{name}.npy", rows)
    for files, form in ((tmp_path / "a", "features_txt"), (tmp_path / "b", "features_npy")):
        made = imported(split, tmp_path, files, format=form, frame_period=0.02, codes=False)
        with LayerFeatures(made.features, "features") as file:
            for i, rows in enumerate(frames.values()):
                np.testing.assert_allclose(file.rows(i), rows, atol=1e-6)


def test_code_vectors(split, tmp_path):
    codebook = np.random.default_rng(1).normal(size=(7, 2)).astype(np.float32)
    np.save(tmp_path / "book.npy", codebook)
    codes = frames_of(split, 0.02)
    files = write_quantized(tmp_path, codes)
    made = imported(split, tmp_path, files, format="txt", frame_period=0.02, codebook=tmp_path / "book.npy")
    with LayerFeatures(made.features, "units") as file:
        np.testing.assert_array_equal(file.rows(0), codebook[codes[NAMES[0]]])
    np.save(tmp_path / "book.npy", codebook[:6])
    with pytest.raises(InputError, match="a unit is 6, and there are 6 codes"):
        imported(split, tmp_path, files, format="txt", frame_period=0.02, codebook=tmp_path / "book.npy")


def test_ids_are_joined_by_their_last_part_or_their_path(split, tmp_path):
    codes = frames_of(split, 0.02)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    write_npy(tmp_path / "one", codes)
    write_npy(tmp_path / "two", codes)
    with pytest.raises(InputError, match=re.escape("has units of utt-0 a second time")):
        imported(split, tmp_path, tmp_path, format="npy", frame_period=0.02)
    with pytest.raises(InputError, match=r"has units of no utterance of the split, as utt-0.*as one/utt-0"):
        imported(split, tmp_path, tmp_path, format="npy", frame_period=0.02, ids="path")
    assert imported(split, tmp_path, tmp_path / "two", format="npy", frame_period=0.02, ids="path").report[
        "matched"
    ] == len(NAMES)


def test_what_systems_keep_in_a_folder_holds_no_units(split, tmp_path):
    (tmp_path / "units").mkdir()
    write_npy(tmp_path / "units", frames_of(split, 0.02))
    arguments = {"codes": True, "features": False, "format": "npy", "frame_period": 0.02}
    clean = imported(split, tmp_path / "1", tmp_path / "units", **arguments).codes.read_bytes()
    litter(tmp_path / "units", f"{NAMES[0]}.npy")
    again = imported(split, tmp_path / "2", tmp_path / "units", **arguments).codes.read_bytes()
    assert again == clean, "the digest of all files of the folder is in it"
