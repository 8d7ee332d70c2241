import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autofr import AutofrError
from autofr.data.insightface_bin import read_bin


def jpeg(value: int, size: int = 16) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (size, size), (value, 60, 60)).save(out, "JPEG", quality=95)
    return out.getvalue()


def wide() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (24, 16)).save(out, "JPEG")
    return out.getvalue()


def images(pairs: int) -> list[bytes]:
    return [jpeg(10 * i) for i in range(2 * pairs)]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", ["bytes", "bytearray", "arrays"])
def test_every_way_that_such_files_are_written(form: str, protocol: int, tmp_path: Path) -> None:
    encoded = images(2)
    stored: list[object] = {
        "bytes": encoded,
        "bytearray": [bytearray(e) for e in encoded],
        "arrays": [np.frombuffer(e, dtype=np.uint8) for e in encoded],
    }[form]
    labels = {"bytes": [True, False], "bytearray": [np.bool_(True), np.bool_(False)], "arrays": np.array([True, False])}
    path = tmp_path / "a.bin"
    path.write_bytes(pickle.dumps((stored, labels[form]), protocol=protocol))
    faces, same = read_bin(path, 16)
    assert same == [True, False]
    pixels = faces.read(torch.arange(4))
    assert pixels.shape == (4, 3, 16, 16)
    assert (pixels[:, 0, 8, 8].int() - torch.tensor([0, 10, 20, 30])).abs().max() <= 3
    assert faces.names[2:] == ["pair_00001/a", "pair_00001/b"]


class Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_file_is_refused_and_runs_nothing(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "bad.bin"
    path.write_bytes(pickle.dumps(([Hostile(marker)] * 2, [True]), protocol=protocol))
    with pytest.raises(AutofrError, match=r"asks for \w+\.system; nothing in it was run"):
        read_bin(path, 16)
    assert not marker.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfrombuffer\n.",
        b"c_codecs\ndecode\n.",
        b"cbuiltins\ngetattr\n(cbuiltins\nbytes\nS'fromhex'\ntR.",
        b"ccopyreg\n_reconstructor\n.",
        b"\x80\x02\x82\x01.",  # an extension code
        b"Pname\n.",  # a persistent id
    ],
)
def test_no_name_beyond_plain_data_is_known(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(program)
    with pytest.raises(AutofrError, match="is no verification set"):
        read_bin(path, 16)


def test_stand_ins_build_nothing_that_can_be_called(tmp_path: Path) -> None:
    """numpy's own names are admitted, and lead to arrays of bytes alone."""
    path = tmp_path / "bad.bin"
    for kind in ("O8", "f8", "V4"):
        path.write_bytes(b"cnumpy\ndtype\n(S'" + kind.encode() + b"'\nI00\nI01\ntR.")
        with pytest.raises(AutofrError, match=f"it has arrays of {kind}"):
            read_bin(path, 16)
    huge = pickle.dumps(([np.zeros(4, dtype=np.uint8)] * 2, [True]), protocol=2).replace(
        b"K\x04\x85", b"J\xff\xff\xff\x7f\x85"
    )
    path.write_bytes(huge)
    with pytest.raises(AutofrError, match="another shape than its 4 bytes"):
        read_bin(path, 16)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "program",
    [
        b"cnumpy\ndtype\n" + b"S'u1'\n" + b"2\x86" * 40 + b"\x85R.",  # a value that doubles when it is shown
        b"c_codecs\nencode\n(S'a'\n" + b"S'b'\n" + b"2\x86" * 40 + b"tR.",
        b"Nr\xff\xff\xff\x0f.",  # a memo of gigabytes
        b"cbuiltins\nbytes\n}b.",
        b"cbuiltins\nbytes\n(N}tb.",
        b"(dp0\n.",
        b"\x80\x02cnumpy\ndtype\n)\x81.",
    ],
)
def test_small_files_that_ask_for_much_are_refused_at_once(program: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(program)
    with pytest.raises(AutofrError, match="is no verification set"):
        read_bin(path, 16)


@pytest.mark.parametrize("name", ["numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\nscalar", "builtins\nbytes"])
@pytest.mark.parametrize("state", [b"(N(I7\nttb", b"(I7\nI8\ntb", b"I7\nb"])
def test_what_a_file_may_call_it_cannot_change(name: str, state: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(b"c" + name.encode() + b"\n" + state + b".")
    with pytest.raises(AutofrError, match="it changes what it may only call"):
        read_bin(path, 16)
    path.write_bytes(pickle.dumps((images(1), np.array([True])), protocol=2))
    assert read_bin(path, 16)[1] == [True]


def test_what_a_file_says_once_it_cannot_make_many_times(tmp_path: Path) -> None:
    path = tmp_path / "bad.bin"
    text = b"V" + b"a" * 5000 + b"\np0\n0"
    path.write_bytes(text + b"c_codecs\nencode\np1\n0(" + b"g1\n(g0\nVlatin1\ntR" * 500 + b"l.")
    with pytest.raises(AutofrError, match="it makes more bytes than it has"):
        read_bin(path, 16)
    one = jpeg(5)
    path.write_bytes(pickle.dumps(([one] * 400, [True] * 200)))
    with pytest.raises(AutofrError, match="it names one several times"):
        read_bin(path, 16)


def test_arrays_that_python_2_wrote(tmp_path: Path) -> None:
    """Their kinds are bytes, as all its strings are when Python 3 reads them so."""
    path = tmp_path / "a.bin"
    program = pickle.dumps((images(1), np.array([True])), protocol=2)
    old = program.replace(b"X\x02\x00\x00\x00b1", b"U\x02b1").replace(b"X\x01\x00\x00\x00|", b"U\x01|")
    assert old != program
    path.write_bytes(old)
    assert read_bin(path, 16)[1] == [True]


def test_truncated_anywhere_is_told(tmp_path: Path) -> None:
    whole = pickle.dumps((images(1), [True]), protocol=2)
    path = tmp_path / "cut.bin"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(AutofrError, match="is empty" if length == 0 else "is no verification set"):
            read_bin(path, 16)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "no pair of images"),
        ((images(1), [True, False]), "2 images for 2 labels"),
        ((images(1), []), "labels are not booleans"),
        ((images(1), ["yes"]), "labels are not booleans"),
        ((images(1), [2]), "labels are not booleans"),
        (("ab", [True]), "no lists"),
        (([1, 2], [True]), "image 0 is int"),
        (([b"text", b"text"], [True]), "image 0: it is no image"),
        (([jpeg(1), jpeg(2, 2000)], [True]), "image 1: claims 2000x2000 pixels"),
        (([jpeg(1), wide()], [True]), "image 1 has 24x16 pixels"),
        (([jpeg(1), jpeg(2)[:200]], [True]), "image 1"),
    ],
)
def test_other_contents_are_told(content: object, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(AutofrError, match=told):
        read_bin(path, 16)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="no such file"):
        read_bin(tmp_path / "none.bin", 16)


def test_the_real_file(real_faces: Path) -> None:
    faces, same = read_bin(real_faces / "insightface" / "lfw_fold1.bin", 112)
    assert (len(faces), len(same), faces.image_size) == (800, 400, 112)
    assert 0 < sum(same) < 400
    assert faces.read(torch.tensor([0, 799])).float().std() > 20
