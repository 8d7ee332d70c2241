import os
import resource
from pathlib import Path

import pytest
import torch

from autofr import AutofrError
from autofr.io.files import (
    Output,
    append_durably,
    parse_json,
    read_json,
    replacing_folder,
    write_bytes,
    write_durably,
    write_tensors,
)

KIND = Output("note", ("*.txt",))


def fail(folder: Path) -> None:
    """Fill a folder in part, and fail."""
    with replacing_folder(folder) as new:
        (new / "n.txt").write_text("three")
        raise RuntimeError


def overtaken(folder: Path) -> None:
    """Fill a folder whose place somebody else takes meanwhile."""
    with KIND.replacing(folder) as new:
        (new / "n.txt").touch()
        folder.mkdir()
        (folder / "mine.dat").touch()


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a" / "notes"
    for text in ("one", "two"):
        with replacing_folder(target) as new:
            (new / "n.txt").write_text(text)
            assert text == "one" or (target / "n.txt").read_text() == "one"
        assert (target / "n.txt").read_text() == text
    with pytest.raises(RuntimeError):
        fail(target)
    assert (target / "n.txt").read_text() == "two"
    assert [p.name for p in target.parent.iterdir()] == ["notes"]


def test_what_a_killed_process_left_is_put_in_order(tmp_path: Path) -> None:
    """Killed between moving the old folder aside and giving the new one its name."""
    left = tmp_path / ".notes.autofr"
    (left / "old").mkdir(parents=True)
    (left / "old" / "n.txt").write_text("old")
    (left / "new").mkdir()
    with pytest.raises(RuntimeError):
        fail(tmp_path / "notes")
    assert (tmp_path / "notes" / "n.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["notes"]


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="is no note: it has mine"):
        overtaken(tmp_path / "notes")
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["mine.dat"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(AutofrError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def fail(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_durably(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("whole", [True, False])
def test_names_and_contents_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """The file before its name, and the folder that has the name."""
    synced = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if whole:
        write_bytes(tmp_path / "file", b"x")
        assert synced == ["file.tmp", tmp_path.name]
    else:
        append_durably(tmp_path / "file", b"x")
        assert synced == ["file", tmp_path.name]


def test_tensors_that_cannot_be_written_are_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be written"):
        write_tensors(tmp_path / "nowhere" / "file", {"a": torch.zeros(1)})


@pytest.mark.parametrize("text", [b"{", b"[NaN]", b"[-Infinity]", b"\xff", b"[" * 100_000, b"1" * 5000])
def test_what_is_no_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)


def test_a_line_that_does_not_fit_is_cut_off_again(tmp_path: Path) -> None:
    """The system writes as much as it may, and then no more: as on a disk that is nearly full."""
    path = tmp_path / "file"
    append_durably(path, b"whole\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            append_durably(path, b"longer than what is left\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"whole\n"
    append_durably(path, b"next\n")
    assert path.read_bytes() == b"whole\nnext\n"
