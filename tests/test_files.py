from pathlib import Path

import pytest

from autofr import AutofrError
from autofr.files import Output, read_json, replacing_folder

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
