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
    found = read_landmarks(write(tmp_path / "l.npz", names=np.array(["a/1.jpg", "b/2.jpg"]), landmarks=points))
    np.testing.assert_array_equal(found["b/2.jpg"], points[1].astype(np.float32))


@pytest.mark.parametrize(
    ("names", "landmarks", "message"),
    [
        (np.array(["a", "b"]), np.zeros((3, 68, 2)), "2 names but 3 landmark rows"),
        (np.array(["a"]), np.zeros((1, 67, 2)), "expected strings"),
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
