"""The tutorials, and the page of the spoken-scenes corpus, run as they are written, on a tiny model and corpus."""

import json
import re
import shlex
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import oracles.report as oracle_report
import pytest
import soundfile
import torch
import yaml
from demo.settings import settings
from encode.recordings import model_of, run

from resdavenet_vq import SpeechEncoder, __main__, config  # noqa: F401 - adds the commands
from resdavenet_vq.data.audio import read_wav
from resdavenet_vq.data.features import log_mel
from resdavenet_vq.demo import corpus as spoken_scenes
from resdavenet_vq.model import checkpoint

REPO = Path(__file__).resolve().parents[1]
MODEL = "results/spoken_scenes/none-2-23/model"
PLANNED = {"snakemake", "make"}
"""Programs whose command lines tests/workflow/test_documented_commands.py plans."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder like one in which the demo has run: a split of the corpus, and a model whose codebooks are frames of it."""
    folder = tmp_path_factory.mktemp("demo")
    corpus = folder / "results/spoken_scenes/corpus"
    spoken_scenes.make(settings(pairs={"test": 16}, speakers=3, word_lists={}), "test", corpus, workers=1)
    wavs = sorted(corpus.rglob("*.wav"))
    model = model_of((2, 3)).eval()
    logmel = torch.from_numpy(np.concatenate([log_mel(read_wav(path)) for path in wavs[:4]]).T.copy())[None]
    with torch.no_grad():
        for n in (2, 3):
            frames = model.audio(logmel, torch.tensor([logmel.shape[2]])).layers[f"conv{n}"].vectors[0].T
            model.audio.get_buffer(f"quantizers.quant{n}.codebook").copy_(frames[:: len(frames) // 12][:12])
    checkpoint.save(folder / MODEL, model, {"lineage": "{}->{2}->{2,3}"})
    (folder / "recordings").mkdir()
    for path in wavs[:3]:
        (folder / "recordings" / path.name).write_bytes(path.read_bytes())
    return folder


def run_page(page):
    """Runs the blocks of a page in the working directory, one after another; the variables at its end.

    A block of YAML whose first line is the name of a file is that file.
    """
    variables = {}
    text = (REPO / "docs" / page).read_text()
    blocks = re.findall(r"^```(python|sh|yaml)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for language, text in blocks:
        if language == "yaml":
            if name := re.match(r"# (\w+\.yaml)\n", text):
                Path(name[1]).write_text(text)
            continue
        if language == "python":
            exec(compile(text, f"docs/{page}", "exec"), variables)
            continue
        for line in text.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line)
            if program not in PLANNED:
                assert program == "resdavenet-vq"
                done = run(*arguments)
                assert done.exit_code == 0, done.output
    assert any(language == "python" for language, _ in blocks)
    return variables


def intervals(text):
    """[(begin, label, end)] of an alignment in the layout of Places Audio."""
    parts = (part.split("__") for part in text.split())
    return [(float(begin), label, float(end)) for begin, label, end in parts]


def test_from_recordings_to_units(demo, monkeypatch, capsys):
    monkeypatch.chdir(demo)
    page = run_page("tutorials/units.md")
    said = capsys.readouterr().out.splitlines()
    encoder, names = SpeechEncoder.from_pretrained(MODEL), [path.stem for path in sorted(Path("recordings").iterdir())]
    lines = {(row := json.loads(line))["id"]: row for line in Path("units.jsonl").read_text().splitlines()}
    assert sorted(lines) == names
    counts = dict.fromkeys(range(12), 0)
    for name in names:
        codes = encoder.encode(f"recordings/{name}.wav", "quant3").codes.tolist()
        runs = [(code, len([*group])) for code, group in groupby(codes)]
        assert list(zip(lines[name]["units"], lines[name]["frames"], strict=True)) == runs
        tiers = oracle_report.read_long_textgrid(Path(f"grids/{name}.TextGrid").read_text())
        assert [int(label) for _, _, label in tiers["quant3"] if label] == lines[name]["units"]
        assert list(tiers) == ["quant2", "quant3"]
        for code, _ in runs:
            counts[code] += 1
        assert any(line.startswith(f"{name}.wav: ") and f" {len(runs)} units, " in line for line in said)
    most = max(counts.values())
    assert (len(page["places"][page["code"]]), counts[page["code"]]) == (most, most)
    assert f"code {page['code']} is the most frequent: {most} places" in said
    heard, rate = soundfile.read("code.wav")
    assert (rate, min(most, 10) * 0.25 < len(heard) / rate) == (16_000, True)
    assert np.abs(heard).max() > 0.01


def test_which_layer_knows_words(demo, monkeypatch, capsys):
    """The accuracies are those of a loop over all pairs of words."""
    monkeypatch.chdir(demo)
    page = run_page("tutorials/layers.md")
    rows = json.loads(Path("results/spoken_scenes/corpus/test.json").read_text())["data"]
    tokens = [
        (row["wav"], begin, end, word, row["speaker"])
        for row in rows
        for begin, word, end in intervals(row["text_alignment"])
        if len(word) >= 4
    ]
    assert len(tokens) > 50
    encoder = SpeechEncoder.from_pretrained(MODEL)
    assert [*page["accuracy"]] == ["conv1", "conv2", "quant2", "conv3", "quant3", "conv4", "conv5"]
    for layer in ("conv2", "quant3", "conv5"):
        frames, vectors = {}, []
        for wav, begin, end, *_ in tokens:
            if wav not in frames:
                frames[wav] = encoder.features(f"results/spoken_scenes/corpus/test/wavs/{wav}", layer)
            period, all_vectors = frames[wav].frame_period, frames[wav].vectors
            centers = [(f + 0.5) * period for f in range(len(all_vectors))]
            inside = [v for v, center in zip(all_vectors, centers, strict=True) if begin <= center < end]
            middle = (begin + end) / 2
            nearest = min(range(len(centers)), key=lambda f, at=middle, c=centers: abs(c[f] - at))
            vectors.append(np.mean(inside or [all_vectors[nearest]], axis=0, dtype=np.float64))
        vectors = [v - np.mean(vectors, axis=0) for v in vectors]
        vectors = [v / max(np.linalg.norm(v), 1e-9) for v in vectors]
        hits = []
        for i, (*_, word, speaker) in enumerate(tokens):
            others = [j for j, (*_, other) in enumerate(tokens) if other != speaker]
            if any(tokens[j][3] == word for j in others):
                best = max(others, key=lambda j, i=i, vectors=vectors: vectors[i] @ vectors[j])
                hits.append(tokens[best][3] == word)
        assert page["accuracy"][layer] == pytest.approx(np.mean(hits), abs=1.5 / len(hits)), layer  # a tie of two
    said = capsys.readouterr().out
    assert f"chance  {100 * page['chance']:5.1f} %" in said
    assert 0 < page["chance"] < 0.5


def test_hubert_units_against_these(demo, monkeypatch, capsys):
    """Units that are the phones themselves have purity 100 %; of ours the page says what a loop over frames says."""
    monkeypatch.chdir(demo)
    corpus = Path("results/spoken_scenes/corpus")
    rows = json.loads((corpus / "test.json").read_text())["data"]
    labels = sorted({label for row in rows for _, label, _ in intervals(row["phone_alignment"])})
    Path("units").mkdir()
    units, manifest = [], [str((corpus / "test/wavs").resolve())]
    for row in rows:
        phones = intervals(row["phone_alignment"])
        at = [(f + 0.5) * 0.02 for f in range(int(phones[-1][2] / 0.02))]
        spoken = [next(label for begin, label, end in phones if begin <= t < end) for t in at]
        units.append(" ".join(str(labels.index(label)) for label in spoken))
        manifest.append(f"{row['wav']}\t{len(soundfile.read(corpus / 'test/wavs' / row['wav'])[0])}")
    Path("units/test.km").write_text("\n".join(units) + "\n")
    Path("units/test.tsv").write_text("\n".join(manifest) + "\n")
    page = run_page("tutorials/hubert.md")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("HuBERT: purity 100.0 %, ")
    encoder, pairs, n_units = SpeechEncoder.from_pretrained(MODEL), [], 0
    for row in rows:
        codes = encoder.encode(corpus / "test/wavs" / row["wav"], "quant2").codes.tolist()
        n_units += 1 + sum(a != b for a, b in pairwise(codes))
        for f, code in enumerate(codes):
            spoken = [p for b, p, e in intervals(row["phone_alignment"]) if b <= (f + 0.5) * 0.02 < e]
            pairs.append((code, (spoken or ["SIL"])[0]))
    best = 0
    for code in {code for code, _ in pairs}:
        phones = [phone for other, phone in pairs if other == code]
        best += max(map(phones.count, phones))
    purity = 100 * best / len(pairs)
    used = len({code for code, _ in pairs})
    assert said[1] == f"quant2: purity {purity:.1f} %, {used} codes, {n_units / (0.02 * len(pairs)):.1f} units a second"
    assert used > 4
    assert page["names"] == [row["uttid"] for row in rows]

    text = re.search(r"^```yaml\n(.*?)^```", (REPO / "docs/tutorials/hubert.md").read_text(), re.MULTILINE | re.DOTALL)[
        1
    ]
    laid_over = yaml.safe_load((REPO / "config.yaml").read_text()) | yaml.safe_load(text)
    (external,) = config.read(laid_over).external.values()
    store, out = Path("test.h5"), Path("imported.h5")
    assert run("prepare", "--manifest", corpus / "test.json", "--out", store, "--report", "r.json").exit_code == 0
    external = external.model_dump_json(exclude_unset=True)
    done = run(
        *("import-units", "--name", "hubert-km100", "--data", store, "--split", "test", "--settings", external),
        *("--codes", out, "--report", "report.json"),
    )
    assert done.exit_code == 0, done.output
    assert json.loads(Path("report.json").read_text())["matched"] == len(rows)


def test_an_aligner_is_scored_against_the_exact_times(tmp_path, monkeypatch, capsys):
    """The page's errors are those of the times in the JSON file, and exact times would have none."""
    monkeypatch.chdir(tmp_path)
    page = run_page("spoken_scenes.md")
    rows = json.loads(Path("my_corpus/test.json").read_text())["data"]
    errors = []
    for row in rows:
        for (begin, word, end), (a, b, guess) in zip(
            intervals(row["text_alignment"]), page["guesses"][row["uttid"]], strict=True
        ):
            assert word == guess
            errors += [abs(begin - a), abs(end - b)]
    assert page["errors"] == pytest.approx(errors, abs=1e-6)
    assert f"mean error {1000 * np.mean(errors):.0f} ms; within 20 ms" in capsys.readouterr().out
    assert 0.005 < np.mean(errors) < 0.3
    files = {str(p.relative_to("my_corpus")) for p in Path("my_corpus").rglob("*") if p.is_file()}
    assert {"test.item", "unseen.json", "unseen.item", "ctm/words.ctm", "ctm/phones.ctm"} <= files
    tiers = oracle_report.read_long_textgrid(Path("my_corpus/textgrids/test-000000.TextGrid").read_text())
    for name, key in (("words", "text_alignment"), ("phones", "phone_alignment")):
        assert [(a, label, b) for a, b, label in tiers[name] if label] == intervals(rows[0][key])
