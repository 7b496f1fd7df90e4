"""Codes files, written and read; those that are wrong are named."""

import numpy as np
import pytest
from encoded import ORIGIN, changed

from resdavenet_vq.encode.codes import CodesFile, SplitCodes, add_codes, create_codes
from resdavenet_vq.errors import InputError


def codes_file(path, codes, layer="quant3"):
    rows = [{"id": f"u{i}", "words": None} for i in range(len(codes))]
    with create_codes(path, [row["id"] for row in rows], rows, ORIGIN) as file:
        out = add_codes(file, layer, np.zeros((5, 2), np.float32), np.array([*map(len, codes)]), 0.04)
        out.write_each(range(len(codes)), codes)
    return path


def test_codes_come_back_as_they_were_written(tmp_path):
    path = codes_file(tmp_path / "c.h5", [[1, 2], [4], [0, 0, 3]])
    with SplitCodes(path) as file:
        assert file.layers == ["quant3"]
    with CodesFile(path, "quant3") as file:
        assert (file.ids, len(file), file.frame_period, file.codebook_size) == (["u0", "u1", "u2"], 3, 0.04, 5)
        assert [codes.tolist() for codes in file.codes(0, 3)] == [[1, 2], [4], [0, 0, 3]]
        assert [row["id"] for row in file.manifest(1, 3)] == ["u1", "u2"]


def test_codes_files_that_are_wrong_are_named(tmp_path):
    path = codes_file(tmp_path / "c.h5", [[0, 1]])
    with pytest.raises(InputError, match=r"c\.h5: holds no codes of 'quant2' \(layers: quant3\)"):
        CodesFile(path, "quant2")
    with pytest.raises(InputError, match=r"absent\.h5: no such file"):
        CodesFile(tmp_path / "absent.h5", "quant3")
    (tmp_path / "broken.h5").write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"broken\.h5: is damaged"):
        CodesFile(tmp_path / "broken.h5", "quant3")
    with (
        CodesFile(codes_file(tmp_path / "range.h5", [[0, 9]]), "quant3") as file,
        pytest.raises(InputError, match=r"codes outside 0 \.\.\. 4"),
    ):
        file.codes(0, 1)
    with changed(path) as f:
        f["quant3/offsets"][...] = [0, 7]
    with pytest.raises(InputError, match=r"c\.h5: .* do not fit together"):
        CodesFile(path, "quant3")
    with changed(path) as f:
        del f["quant3/codebook"]
    with pytest.raises(InputError, match=r"c\.h5: has no quant3/codebook; it is no complete codes file"):
        CodesFile(path, "quant3")
