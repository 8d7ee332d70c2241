"""``log.txt`` of a run directory."""

import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest

import autofr
from autofr.console import attached
from autofr.data import Faces
from autofr.runs.log import LOG, RunLog

LOGGER = logging.getLogger("autofr.test")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (DEBUG|INFO|WARNING) +\S")


def test_lines_from_before_the_directory_are_held(tmp_path: Path) -> None:
    log = RunLog()
    with attached(log):
        LOGGER.info("held: α")
        log.open(tmp_path)
        LOGGER.debug("written")
    log.close()
    text = (tmp_path / LOG).read_text(encoding="utf-8").splitlines()
    assert [line.split(maxsplit=2)[2] for line in text] == ["held: α", "written"]
    assert all(LINE.match(line) for line in text)


def test_names_that_are_no_text_are_written(tmp_path: Path) -> None:
    log = RunLog()
    log.open(tmp_path)
    with attached(log):
        LOGGER.info(os.fsdecode(b"caf\xe9"))
    log.close()
    assert "caf\\udce9" in (tmp_path / LOG).read_text(encoding="utf-8")


def test_a_directory_that_cannot_be_written_costs_lines_only(tmp_path: Path) -> None:
    log = RunLog()
    with attached(log):
        log.open(tmp_path / "gone")
        LOGGER.info("lost")
    log.close()
    assert not (tmp_path / "gone").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_costs_lines_only(tmp_path: Path) -> None:
    log = RunLog()
    log.open(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    with open(tmp_path / LOG) as file:
        (descriptor,) = [
            number
            for number in map(int, os.listdir("/proc/self/fd"))
            if number not in (file.fileno(), full) and _is_at(number, tmp_path / LOG)
        ]
    os.dup2(full, descriptor)
    os.close(full)
    with attached(log):
        LOGGER.info("lost")
    log.close()
    assert (tmp_path / LOG).read_text() == ""


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}") == str(path)
    except OSError:
        return False


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_what_is_no_regular_file_is_left_alone(kind: str, tmp_path: Path) -> None:
    """A run directory may be a stranger's: a pipe is not waited for, a link not followed."""
    target = tmp_path / "target"
    target.write_text("mine")
    {"fifo": os.mkfifo, "link": lambda path: path.symlink_to(target), "folder": os.mkdir}[kind](tmp_path / LOG)
    log = RunLog()
    with attached(log):
        log.open(tmp_path)
        LOGGER.info("lost")
    log.close()
    assert target.read_text() == "mine"


@pytest.mark.search
def test_a_search_leaves_a_log_and_a_resume_appends(
    tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Enough(Exception):  # noqa: N818
        pass

    def watch(record: Any) -> None:
        raise Enough

    run_dir = tmp_path / "run"
    with pytest.raises(Enough):
        autofr.train("arcface:0.3", tiny_faces, run_dir=run_dir, watch=watch, **tiny)
    before = (run_dir / LOG).read_text(encoding="utf-8").splitlines()
    assert "to train on" in before[0]  # logged before there was a run directory
    assert any("generation   1" in line for line in before)
    assert any("ended by Enough" in line for line in before)
    assert "go on with" in before[-1]
    assert all(LINE.match(line) for line in before)
    autofr.train("arcface:0.3", tiny_faces, run_dir=run_dir, resume=True, **tiny)
    after = (run_dir / LOG).read_text(encoding="utf-8").splitlines()
    assert after[: len(before)] == before
    assert any("goes on at generation 2" in line for line in after)
    assert sum("INFO" in line and " generation  " in line for line in after) == 4
    assert capsys.readouterr().out == ""  # progress=False: logged only
