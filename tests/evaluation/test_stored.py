from pathlib import Path

import numpy as np
import pytest
import torch

from autofr import AutofrError
from autofr.evaluation.stored import check_vectors, read_embeddings, read_labels


def test_reads_numbers_and_refuses_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "e.npy"
    np.save(path, np.arange(6).reshape(3, 2))
    assert torch.equal(read_embeddings(path), torch.arange(6.0).view(3, 2))
    for bad, told in (
        (np.zeros(3), "expected numbers"),
        (np.zeros((0, 4)), "expected numbers"),
        (np.array([["a"]]), "expected numbers"),
    ):
        np.save(path, bad)
        with pytest.raises(AutofrError, match=told):
            read_embeddings(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(AutofrError, match="cannot be read"):
        read_embeddings(path)
    for content in (b"", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(AutofrError, match=r"no \.npy array"):
            read_embeddings(path)
    with pytest.raises(AutofrError, match="no embeddings file"):
        read_embeddings(tmp_path / "none.npy")
    np.savez(tmp_path / "a.npz", a=np.zeros(2))
    (tmp_path / "a.npz").rename(path)
    with pytest.raises(AutofrError, match=r"no \.npy array"):
        read_embeddings(path)


def test_labels_as_text_numbers_and_names(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("b\na\n\nb\n")
    names, labels = read_labels(tmp_path / "l.txt")
    assert labels.tolist() == [1, 0, 1]
    assert len(set(names)) == 3
    np.save(tmp_path / "l.npy", np.array([7, 7, 12]))
    assert read_labels(tmp_path / "l.npy")[1].tolist() == [1, 1, 0]  # as text, 12 is before 7
    (tmp_path / "n.txt").write_text("ann/1.jpg\nann/2.jpg\nbob/1.jpg\n")
    names, labels = read_labels(tmp_path / "n.txt")
    assert (names[1], labels.tolist()) == ("ann/2.jpg", [0, 0, 1])


@pytest.mark.parametrize(("content", "told"), [(b"", "empty"), (b"\xff\xfe\x00", "neither")])
def test_labels_that_are_none(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(content)
    with pytest.raises(AutofrError, match=told):
        read_labels(tmp_path / "l.txt")
    np.save(tmp_path / "l.npy", np.zeros((2, 2)))
    with pytest.raises(AutofrError, match="whole numbers or strings"):
        read_labels(tmp_path / "l.npy")


def test_rows_that_cannot_be_compared_are_counted_and_named() -> None:
    vectors = torch.ones(4, 3)
    names = ["a/1", "a/2", "b/1", "b/2"]
    check_vectors(vectors, names, "net")
    vectors[1, 2] = float("nan")
    vectors[3] = float("inf")
    with pytest.raises(AutofrError, match=r"2 of 4 embeddings of net are not finite \(a/2, b/2\)"):
        check_vectors(vectors, names, "net")
    with pytest.raises(AutofrError, match=r"1 of 4 embeddings of net are of length zero \(b/1\)"):
        check_vectors(torch.tensor([[1.0], [1], [0], [1]]), names, "net")
