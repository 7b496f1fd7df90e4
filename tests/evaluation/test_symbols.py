"""Numbers of equal codes and rows against dictionaries."""

import numpy as np
import pytest
from encoded import ORIGIN, changed
from evaluation.abx.synthetic import write_features
from hypothesis import given, settings
from hypothesis import strategies as st

from resdavenet_vq.encode.features import LayerFeatures, add_quantized, create_features
from resdavenet_vq.errors import InputError
from resdavenet_vq.evaluation.symbols import CodeSymbols, LayerUnits, Symbols


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=6), st.integers(1, 40), st.booleans())
def test_numbers_of_rows_are_those_of_their_bytes(utterances, width, alike):
    """Also where all rows agree in the values by which they are looked up, and where two are equal but for a sign of 0."""
    codebook = np.repeat(np.arange(6, dtype=np.float32)[:, None], width, axis=1)
    if alike:
        codebook[:, :-1] = 0
    codebook[5] = -codebook[0]
    symbols, numbers = Symbols(), {}
    for utterance in utterances:
        rows = codebook[np.array(utterance, np.int64)]
        expected = [numbers.setdefault((row + np.float32(0)).tobytes(), len(numbers)) for row in rows]
        assert symbols.of(rows).tolist() == expected
    assert [row.tobytes() for row in symbols.rows] == [*numbers]


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=6))
def test_numbers_of_codes_are_in_the_order_of_their_first_occurrence(utterances):
    symbols, numbers = CodeSymbols(), {}
    for utterance in utterances:
        expected = [numbers.setdefault(code, len(numbers)) for code in utterance]
        assert symbols.of(np.array(utterance, np.int32)).tolist() == expected
    assert symbols.codes.tolist() == [*numbers]


def write_codes(path, codebook, utterances):
    """A features file of one quantized layer."""
    n_frames = np.array([*map(len, utterances)])
    with create_features(path, [f"u{i}" for i in range(len(n_frames))], n_frames * 0.02, ORIGIN) as file:
        rows = add_quantized(file, "quant2", codebook, n_frames, 0.02)
        rows.write_each(range(len(n_frames)), [np.array(codes, np.int32) for codes in utterances])
    return path


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=4), st.booleans())
def test_units_of_codes_are_those_of_their_vectors(tmp_path, utterances, distinct):
    """Numbers and vectors are equal bit for bit, also of codes whose vectors are equal, or differ in the sign of a 0."""
    codebook = np.arange(12, dtype=np.float32).reshape(6, 2)
    codebook[5] = [-0.0, 7.0]
    if not distinct:
        codebook[3], codebook[4] = codebook[1], [0.0, 7.0]
    with LayerFeatures(write_codes(tmp_path / "codes.h5", codebook, utterances), "quant2") as layer:
        by_code = LayerUnits.read(layer)
        rows = dict(layer)
        assert [frames.tobytes() for frames in rows.values()] == [codebook[codes].tobytes() for codes in utterances]
    with LayerFeatures(write_features(tmp_path / "rows.h5", "quant2", rows, 0.02), "quant2") as layer:
        by_row = LayerUnits.read(layer)
    assert by_code.numbers.tolist() == by_row.numbers.tolist()
    assert by_code.vectors.tobytes() == by_row.vectors.tobytes()


def test_codes_outside_the_codebook_are_refused(tmp_path):
    path = write_codes(tmp_path / "codes.h5", np.eye(3, dtype=np.float32), [[0, 2], [1, 3]])
    with LayerFeatures(path, "quant2") as layer:
        assert len(layer.rows(0)) == 2
        with pytest.raises(InputError, match=r"codes\.h5: quant2 holds codes that its codebook does not have"):
            layer.rows(1)
    with changed(path) as file:
        file["quant2/codebook"][1] = np.nan
    with pytest.raises(InputError, match=r"codes\.h5: codes of quant2 do not fit together"):
        LayerFeatures(path, "quant2")
