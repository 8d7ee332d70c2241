from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold

from autofr import AutofrError
from autofr.data import scan_folder
from autofr.evaluation.protocols.pairs import Pairs, fold_accuracies, folds_in_order, read_pairs

NAMES = [f"P{i:02d}/P{i:02d}_{j:04d}.jpg" for i in range(40) for j in (1, 2)]


def write(path: Path, header: str | None, per_fold: int = 3) -> Path:
    lines = [header] if header else []
    for fold in range(10):
        people = range(fold * 4, fold * 4 + per_fold)
        lines += [f"P{p:02d}\t1\t2" for p in people] + [f"P{p:02d}\t1\tP{p + 1:02d}\t2" for p in people]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_folds_of_the_file(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path / "p.txt", "10\t3"), NAMES)
    assert pairs.fold.tolist() == [f for f in range(10) for _ in range(6)]
    assert pairs.same.tolist() == ([True] * 3 + [False] * 3) * 10
    assert (NAMES[pairs.first[3]], NAMES[pairs.second[3]]) == ("P00/P00_0001.jpg", "P01/P01_0002.jpg")


def test_without_header_every_fold_has_its_share(tmp_path: Path) -> None:
    pairs = read_pairs(write(tmp_path / "p.txt", None), NAMES)
    for fold in range(10):
        assert int(pairs.same[pairs.fold == fold].sum()) == 3
        assert int((~pairs.same[pairs.fold == fold]).sum()) == 3


def test_missing_images_are_counted_and_over_one_percent_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    lines = ["10 100"] + (["P00 1 2"] * 100 + ["P00 1 P01 2"] * 100) * 10
    lines[7] = "Nobody 1 2"
    path.write_text("\n".join(lines))
    pairs = read_pairs(path, NAMES)
    assert len(pairs.same) == 1999
    assert pairs.notes == ("1 of 2000 pairs name a missing image (Nobody/Nobody_0001): skipped",)
    assert torch.bincount(pairs.fold).tolist() == [199, *[200] * 9]
    path.write_text("\n".join(["10 100"] + ["Nobody 1 2"] * 30 + lines[31:]))
    with pytest.raises(AutofrError, match="over 1%"):
        read_pairs(path, NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("10 300\nP00 1 2\n", "too few pairs"),
        ("10 300\nP00 one 2\n", "neither"),
        ("P00 1 2 3 4\n", "neither"),
        ("7 300\n" + "P00 1 2\nP00 1 P01 2\n" * 10, "header"),
        ("10 300\n" + "P00 1 2\nP01 1 P02 1\n" * 30, "promises 10 folds, and its 60 pairs fill 1"),
        ("10 2\n" + "P00 1 2\nP01 1 P02 1\n" * 14, "its 28 pairs fill 7"),
        ("P00 1 ²\n", "neither"),
        ("P00 1 1\n", "with itself"),
        ("P00 1 P00 2\n", "one person's images an impostor pair"),
        ("10 1\n" + "P00 1 2\nP00 1 P01 2\n" * 11, "more pairs"),
    ],
)
def test_other_forms_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.txt").write_text(text)
    with pytest.raises(AutofrError, match=message):
        read_pairs(tmp_path / "p.txt", NAMES)


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="no pairs file"):
        read_pairs(tmp_path / "none.txt", NAMES)
    (tmp_path / "p.txt").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(AutofrError, match="is not text"):
        read_pairs(tmp_path / "p.txt", NAMES)


def test_threshold_comes_from_the_other_nine_folds() -> None:
    """Against a plain search over every midpoint, fold by fold."""
    rng = np.random.default_rng(0)
    same = np.tile([True] * 5 + [False] * 5, 10)
    score = np.round(rng.normal(0, 1, 100) + same, 1)
    fold = np.repeat(np.arange(10), 10)
    pairs = Pairs(torch.zeros(100), torch.zeros(100), torch.from_numpy(same), torch.from_numpy(fold))
    expected = []
    for held in range(10):
        s, g = score[fold != held], same[fold != held]
        values = np.unique(s)
        candidates = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1]]
        threshold = candidates[np.argmax([((s > t) == g).mean() for t in candidates])]
        expected.append(((score[fold == held] > threshold) == same[fold == held]).mean())
    np.testing.assert_allclose(fold_accuracies(torch.from_numpy(score), pairs), expected)


@pytest.mark.parametrize("count", [10, 403, 6000, 6009])
def test_folds_in_a_row_are_scikit_learns(count: int) -> None:
    found = folds_in_order(count).numpy()
    for fold, (_, held) in enumerate(KFold(10, shuffle=False).split(found)):
        assert (found[held] == fold).all()


def test_the_real_lists(real_faces: Path) -> None:
    lfw = read_pairs(real_faces / "lfw_pairs.txt", scan_folder(real_faces / "lfw").names)
    assert (len(lfw.same), int(lfw.same.sum()), lfw.notes) == (6000, 3000, ())
    assert torch.bincount(lfw.fold).tolist() == [600] * 10
    mfr2 = read_pairs(real_faces / "mfr2_pairs.txt", scan_folder(real_faces / "mfr2").names)
    assert (len(mfr2.same), mfr2.notes) == (848, ())
