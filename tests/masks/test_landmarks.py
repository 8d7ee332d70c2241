import zipfile
from pathlib import Path

import numpy as np
import pytest

from autofr import AutofrError
from autofr.masks import read_landmarks


def write(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_reads_rows_by_name(tmp_path: Path) -> None:
    points = np.arange(2 * 68 * 2, dtype=np.float16).reshape(2, 68, 2)
    found, scheme = read_landmarks(write(tmp_path / "l.npz", names=np.array(["a/1.jpg", "b/2.jpg"]), landmarks=points))
    assert scheme == "ibug68"
    np.testing.assert_array_equal(found["b/2.jpg"], points[1].astype(np.float32))


@pytest.mark.parametrize(
    ("names", "landmarks", "message"),
    [
        (np.array(["a", "b"]), np.zeros((3, 68, 2)), "2 names but 3 landmark rows"),
        (np.array(["a"]), np.zeros((1, 67, 2)), "67:INDEX"),
        (np.array(["a"]), np.zeros((1, 68, 3)), "expected strings"),
        (np.array([], dtype="U1"), np.zeros((0, 68, 2)), "is empty"),
        (np.array([1.0]), np.zeros((1, 68, 2)), "expected strings"),
        (np.array(["a"], dtype=object), np.zeros((1, 68, 2)), "cannot be read"),
    ],
)
def test_other_layouts_are_refused(tmp_path: Path, names: np.ndarray, landmarks: np.ndarray, message: str) -> None:
    with pytest.raises(AutofrError, match=message):
        read_landmarks(write(tmp_path / "l.npz", names=names, landmarks=landmarks))


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="no landmarks file"):
        read_landmarks(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(AutofrError, match="cannot be read"):
        read_landmarks(tmp_path / "text.npz")
    with pytest.raises(AutofrError, match="cannot be read"):
        read_landmarks(write(tmp_path / "l.npz", landmarks=np.zeros((1, 68, 2))))


def test_rows_that_were_not_detected_are_missing(tmp_path: Path) -> None:
    names, points = np.array(["a", "b"]), np.ones((2, 5, 2))
    found, scheme = read_landmarks(
        write(tmp_path / "l.npz", names=names, landmarks=points, detected=np.array([True, False]))
    )
    assert scheme == "points5"
    assert np.isfinite(found["a"]).all()
    assert np.isnan(found["b"]).all()


def test_the_scheme_is_the_callers_then_the_files(tmp_path: Path) -> None:
    listed = "96:" + ",".join(str(i) for i in range(19))
    path = write(tmp_path / "l.npz", names=np.array(["a"]), landmarks=np.ones((1, 96, 2)), scheme=np.array(listed))
    assert read_landmarks(path)[1] == listed
    with pytest.raises(AutofrError, match="96 points a face, scheme wflw98 has 98"):
        read_landmarks(path, "wflw98")
    with pytest.raises(AutofrError, match="unknown landmark scheme 'ibug'"):
        read_landmarks(path, "ibug")


def test_detected_must_have_a_row_a_name(tmp_path: Path) -> None:
    for detected, message in (([1, 0], "2 entries of 'detected'"), ([[1]], "has shape"), (1, "has shape")):
        path = write(
            tmp_path / "l.npz", names=np.array(["a"]), landmarks=np.ones((1, 5, 2)), detected=np.array(detected)
        )
        with pytest.raises(AutofrError, match=message):
            read_landmarks(path)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(
        tmp_path / "x.npz", names=np.array(["a"]), landmarks=np.zeros((200_000, 68, 2), dtype=np.float32)
    )
    assert (tmp_path / "x.npz").stat().st_size < 2**18
    with pytest.raises(AutofrError, match=r"unpacks to .* bytes, over 100 times its size"):
        read_landmarks(tmp_path / "x.npz")


def test_names_that_are_no_text_and_members_that_are_no_arrays_are_refused(tmp_path: Path) -> None:
    strange = np.array([97, 0x110000], dtype=np.uint32).view("<U2")
    np.savez(tmp_path / "x.npz", names=strange, landmarks=np.zeros((1, 68, 2)))
    with pytest.raises(AutofrError, match=r"no .npz archive of plain arrays"):
        read_landmarks(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("names.npy", "no array")
    with pytest.raises(AutofrError, match=r"no .npz archive of plain arrays"):
        read_landmarks(tmp_path / "x.npz")
