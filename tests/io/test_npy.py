import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autofr.io.npy import npy_of, read_npy, texts


def saved(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def headed(header: str, content: bytes) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(3),
        np.zeros((0, 4), dtype=np.float16),
        np.array(["a", "bcd"]),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
    ],
)
def test_what_numpy_wrote_is_read(tmp_path: Path, array: np.ndarray[Any, Any]) -> None:
    np.save(tmp_path / "a.npy", array)
    found = npy_of(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no .npy array"),
        (b"text", "no .npy array"),
        (saved(np.array([{}], dtype=object)), "an array of pickled objects"),
        (saved(np.zeros(4))[:-1], "claims 32 bytes, and has 31"),
        (saved(np.zeros(4)) + b"x", "claims 32 bytes, and has 33"),
        (headed("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 99), }", b"1234"), "claims"),
        (headed("{'descr': '|S0', 'fortran_order': False, 'shape': (2147483648,), }", b""), "claims 0 bytes"),
        (headed("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1), }", b"1234"), "claims 4 bytes"),
        (headed("__import__('os').system('true')", b""), "no .npy array"),
    ],
)
def test_what_a_file_does_not_bear_out_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_npy(io.BytesIO(content), len(content))


def test_texts() -> None:
    assert texts(np.array([3, 1])) == ["3", "1"]
    assert texts(np.array(["a", "é"])) == ["a", "é"]
    assert texts(np.array(["a", "é"], dtype=">U3")) == ["a", "é"]
    for code in (0x110000, 0xD800):
        strange = np.array([97, code, 98, 99], dtype=np.uint32).view("<U2")
        with pytest.raises(ValueError, match="no character"):
            texts(strange)
