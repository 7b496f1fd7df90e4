"""The model card, README.md beside a model: for people, with the front matter that the Hugging Face hub reads.

It says what is known when it is written: a training knows its recipe and its validation, a later save also the scores
of `scores.csv`, with their intervals and beside those of the baselines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from resdavenet_vq.errors import printable, shortened
from resdavenet_vq.files import atomic_write
from resdavenet_vq.lineage import Lineage, frame_stride
from resdavenet_vq.system import Reference, is_of_sweep, is_untrained, named

NAME = "README.md"

TAGS = ("speech", "speech-units", "vector-quantization", "visually-grounded-speech", "spoken-term-discovery")

CORPORA = {
    "spoken_scenes": "spoken scenes, the made-up corpus of the demo",
    "spoken_scenes_large": "spoken scenes, the made-up corpus of the demo",
    "places": "Places Audio",
    "places_2020": "Places Audio",
    "spoken_coco": "SpokenCOCO",
    "flickr8k": "Flickr8k Audio",
}
"""By the names that the shipped configurations give them; all are English."""

RELEASED_CORPUS = "places"
"""What the models of 2020 were trained on."""

type Row = Mapping[str, Any]
"""A row of `scores.csv`; empty cells are None."""


class _Headline(NamedTuple):
    """A kind of score that a card quotes."""

    task: str
    condition: str
    score: str
    title: str
    factor: float
    unit: str


HEADLINES = (
    _Headline("retrieval", "mean", "recall_at_10", "R@10, mean of both directions", 100, "%"),
    _Headline("abx", "within", "error", "ABX error within speakers", 1, "%"),
    _Headline("abx", "across", "error", "ABX error across speakers", 1, "%"),
    _Headline("bitrate", "plain", "bits_per_second", "bitrate", 1, "bit/s"),
    _Headline("words", "held_out", "words_above_f1", "words detected, held out", 1, "words"),
)


def write(
    folder: Path,
    card: Row,
    n_parameters: int,
    scores: Sequence[Row] = (),
    license: str | None = None,  # noqa: A002
) -> None:
    """Writes the card of the model that `card`, the content of `model.json`, describes; see `text`."""
    content = text(card, n_parameters, corpus_of(folder, card), scores, license)
    with atomic_write(folder / NAME) as tmp:
        tmp.write_text(content, encoding="utf-8")


def corpus_of(folder: Path, card: Row) -> str:
    """The name of the corpus, by the path `results/{corpus}/{lineage}/model`; the empty text where it is another."""
    if card.get("released"):
        return RELEASED_CORPUS
    lineage, path = named(str(card.get("lineage") or "")), folder.absolute()
    if path.name != "model" or not isinstance(lineage, Lineage):
        return ""
    seed = (card.get("training") or {}).get("seed")
    folders = {lineage.folder, lineage.with_seed(seed).folder}
    return path.parents[1].name if path.parent.name in folders and len(path.parents) > 2 else ""


def is_of(row: Row, card: Row) -> bool:
    """Whether a score is that of this model, by its lineage and seed."""
    seed = (card.get("training") or {}).get("seed")
    return bool(row["lineage"]) and row["lineage"] == card.get("lineage") and row["seed"] in (None, seed)


def text(
    card: Row,
    n_parameters: int,
    corpus: str = "",
    scores: Sequence[Row] = (),
    license: str | None = None,  # noqa: A002
) -> str:
    """The card; `corpus` is the name of what the model was trained on, `scores` rows of `scores.csv`.

    Of the scores it quotes HEADLINES of this model, and of baselines on the same split.
    """
    import yaml

    own = [row for row in scores if is_of(row, card)]
    corpus = corpus or next((row["corpus"] for row in own), "")
    front: dict[str, Any] = {"library_name": "resdavenet-vq", "pipeline_tag": "feature-extraction"}
    front |= {"license": license or "other", "language": ["en"] if corpus in CORPORA else None, "tags": [*TAGS]}
    front["model-index"] = _index(card, own)
    matter = yaml.safe_dump({k: v for k, v in front.items() if v}, sort_keys=False, allow_unicode=True)
    blocks = [_about(card, n_parameters, corpus), _use(card), *_numbers(card, own, scores), _recipe(card)]
    blocks.append(_license(license))
    return f"---\n{matter}---\n\n" + "\n\n".join(blocks) + "\n"


def _about(card: Row, n_parameters: int, corpus: str) -> str:
    """What the model is."""
    on = [f"quant{n}" for n in card.get("quantizers", ())]
    sizes = _codebook_sizes(card)
    units = "; ".join(f"{name}: {sizes[name]} codes, one every {10 * frame_stride(name)} ms" for name in on)
    rows = {
        "lineage": f"`{_plain(card.get('lineage') or 'unknown')}`",
        "corpus": _plain(CORPORA.get(corpus, corpus) or "not stated"),
        "language": "English" if corpus in CORPORA else "not stated",
        "units": units or "none: no quantizer is on in this stage",
        "image network": "yes" if card.get("image_branch") else "no: speech alone",
        "parameters": f"{n_parameters:,}",
    }
    title = f"# ResDAVEnet-VQ {_plain(card.get('lineage') or '')}".rstrip()
    what = (
        "A network that learned discrete units of speech from images and their spoken captions, without text "
        "(Harwath, Hsu and Glass, *Learning hierarchical discrete linguistic units from visually-grounded speech*, "
        "ICLR 2020)."
    )
    return f"{title}\n\n{what}\n\n{_table(('', ''), rows.items())}"


def _use(card: Row) -> str:
    lines = [
        "from resdavenet_vq import SpeechEncoder",
        "",
        'encoder = SpeechEncoder.from_pretrained("FOLDER or user/name")',
    ]
    if card.get("quantizers"):
        lines += ['units = encoder.encode("recording.wav")', "print(units.codes, units.onsets, units.offsets)"]
    else:
        lines.append('print(encoder.features("recording.wav", "conv3").vectors)')
    if card.get("image_branch"):
        lines += [
            "",
            "from resdavenet_vq import DualEncoder",
            "",
            'both = DualEncoder.from_pretrained("FOLDER or user/name")',
            'print(both.search("recording.wav", ["a.jpg", "b.jpg"]))',
        ]
    return "## How to load it\n\n```python\n" + "\n".join(lines) + "\n```"


def _numbers(card: Row, own: Sequence[Row], scores: Sequence[Row]) -> Iterator[str]:
    """Scores, if there are any, and what the training says of itself."""
    rows = []
    for headline, row in _headlines(own):
        others = [
            f"{_plain(other['lineage'])} {_value(headline, other)}"
            for other in scores
            if _is_baseline(other["lineage"])
            and all(other[k] == row[k] for k in ("task", "split", "condition", "score"))
            and (not row["layer"] or _same_layer(other["layer"], row["layer"]))
        ]
        what = f"{headline.title} ({headline.unit})"
        rows.append((what, row["split"], row["layer"] or "–", _value(headline, row), "; ".join(others) or "–"))
    if rows:
        table = _table(("score", "split", "layer", "this model", "baselines"), rows)
        yield f"## Scores\n\n{table}\n\nIn brackets: 95 % intervals, of one trained model over what is scored."
    sentences = []
    if isinstance(recall := (card.get("scores") or {}).get("mean_recall_at_10"), int | float):
        sentences.append(
            f"The weights are those of epoch {_plain(card.get('epoch'))}, the best by R@10 on the validation split: "
            f"{100 * recall:.1f} %, the mean of both directions."
        )
    if advice := card.get("advice"):
        sentences.append(f"Its training ended with: {_plain(advice)}.")
    provenance = card.get("provenance") or {}
    if isinstance(recall := provenance.get("best_recall_at_10"), int | float):
        sentences.append(f"Its own record of 2020 says an R@10 of {100 * recall:.1f} % on the validation split.")
    if sentences:
        yield "## Validation\n\n" + "\n".join(sentences)


def _recipe(card: Row) -> str:
    """How it was made; model.json has every value."""
    if card.get("released"):
        file = (card.get("provenance") or {}).get("file")
        what = f"Imported from the release of 2020, `{_plain(file)}`; its arguments are under `provenance` in `model.json`."
        return f"## Recipe\n\n{what}"
    training, model = card.get("training") or {}, card.get("model") or {}
    names = ("epochs", "steps", "batch_size", "learning_rate", "learning_rate_schedule", "augmentation", "seed")
    rows = {f"training.{name}": training[name] for name in names if training.get(name) is not None}
    rows |= {f"recipe.{name}": value for name, value in (card.get("recipe") or {}).items()}
    audio = {k: v for k, v in model.get("audio", {}).items() if k in {"widths", "blocks_per_stage", "features"}}
    rows |= {f"model.audio.{k}": v for k, v in audio.items()}
    if card.get("image_branch"):
        rows |= {
            f"model.image.{k}": model["image"][k] for k in ("architecture", "weights") if k in model.get("image", {})
        }
    if card.get("parent"):
        rows["weights of the parent (SHA-256)"] = card["parent"]
    table = _table(("", ""), ((f"`{_plain(k)}`" if "." in k else k, _plain(v)) for k, v in rows.items()))
    return f"## Recipe\n\n{table}\n\nEvery setting, the digests of the data and the versions are in `model.json`."


def _license(license: str | None) -> str:  # noqa: A002
    if license:
        return f"## License\n\n`{_plain(license)}`"
    return (
        "## License\n\nNone was chosen for these weights. Whoever publishes them chooses one (`license=` of `save_pretrained` "
        "and `push_to_hub`), within what the license of the corpus allows."
    )


def _index(card: Row, own: Sequence[Row]) -> list[dict[str, Any]]:
    """Scores as the hub lists them."""
    results = [
        {
            "task": {"type": "feature-extraction", "name": headline.task},
            "dataset": {"type": row["corpus"], "name": row["corpus"], "split": row["split"]},
            "metrics": [
                {
                    "type": f"{headline.condition}_{headline.score}",
                    "name": ", ".join(filter(None, (headline.title, row["layer"], f"in {headline.unit}"))),
                    "value": float(f"{headline.factor * row['value']:.6g}"),
                }
            ],
        }
        for headline, row in _headlines(own)
    ]
    name = f"resdavenet-vq {card.get('lineage') or ''}".strip()
    return [{"name": name, "results": results}] if results else []


def _headlines(own: Sequence[Row]) -> Iterator[tuple[_Headline, Row]]:
    """The scores that a card quotes, by HEADLINES, in the order of the table."""
    for headline in HEADLINES:
        for row in own:
            if (row["task"], row["condition"], row["score"]) == headline[:3]:
                yield headline, row


def _is_baseline(lineage: str) -> bool:
    return isinstance(named(lineage), Reference) and not is_of_sweep(lineage) and not is_untrained(lineage)


def _same_layer(baseline: str, layer: str) -> bool:
    """Whether a baseline's layer is that of a model's row: clusters have the layers of a model, features only their own."""
    return baseline == layer or not baseline.startswith(("conv", "quant"))


def _value(headline: _Headline, row: Row) -> str:
    value, low, high = (row[name] for name in ("value", "low", "high"))
    digits = 0 if headline.unit == "words" and low is None else 1
    number = f"{headline.factor * value:.{digits}f}"
    if low is None or high is None or math.isnan(low + high):
        return number
    return f"{number} [{headline.factor * low:.1f}, {headline.factor * high:.1f}]"


def _codebook_sizes(card: Row) -> dict[str, int]:
    sizes = ((card.get("model") or {}).get("quantizer") or {}).get("codebook_size", 0)
    several = sizes if isinstance(sizes, list | tuple) else [sizes] * 5
    return {f"quant{n}": size for n, size in enumerate(several, start=1)}


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _plain(value: Any) -> str:
    """A value of a file as one short line that does not end a cell of a table."""
    return printable(shortened(str(value), 300)).replace("|", "\\|")
