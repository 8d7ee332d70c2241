"""How log lines reach the terminal and the application's own handlers."""

import contextlib
import io
import logging
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from autofr.console import LOGGER, TIMED, Display, attached, printed
from autofr.system.thread_pool import in_background
from tests.logs import LinesHandler
from tests.paths import REPOSITORY

CHILD = logging.getLogger("autofr.some.module")


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Every test leaves the library's logger as it was."""
    before = LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)
    yield
    assert (LOGGER.level, LOGGER.propagate, list(LOGGER.handlers)) == before


def test_lines_are_printed_while_the_block_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    CHILD.info("before")
    with printed(True):
        CHILD.info("[bold]as it is[/] " + "x" * 300)
        CHILD.debug("a detail")
    CHILD.info("after")
    assert capsys.readouterr().out == "[bold]as it is[/] " + "x" * 300 + "\n"


def test_without_progress_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with printed(False):
        CHILD.info("a line")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("level", "progress", "expected"),
    [
        (logging.INFO, True, ["information", "warning"]),
        (logging.INFO, False, ["warning"]),
        (logging.WARNING, True, ["warning"]),
        (logging.DEBUG, True, ["detail", "information", "warning"]),
    ],
)
def test_an_outer_block_decides(
    level: int, progress: bool, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command line prints for its whole run; what it calls prints no line twice."""
    with printed(True, level), printed(progress):
        CHILD.debug("detail")
        CHILD.info("information")
        CHILD.warning("warning")
    assert capsys.readouterr().out.split() == expected


def test_one_logger_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with printed(True, logging.WARNING, "rank 1: %(message)s", "autofr.data"):
        CHILD.warning("of all ranks")
        logging.getLogger("autofr.data.sources").warning("of this rank")
        logging.getLogger("autofr.data.sources").info("too much")
    assert capsys.readouterr().out == "rank 1: of this rank\n"


def test_lines_with_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    with printed(True, form=TIMED):
        CHILD.warning("it is late")
    assert capsys.readouterr().out.strip().endswith("WARNING it is late")


@pytest.fixture
def root() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """The root logger as an application configures it, at INFO, and what its handler writes."""
    logger, lines = logging.getLogger(), io.StringIO()
    handler, before = logging.StreamHandler(lines), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger, lines
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_the_application_sees_what_it_saw_before(root: tuple[logging.Logger, io.StringIO]) -> None:
    """A handler that takes details does not make those of the application take them."""
    own = LinesHandler()
    own.setLevel(logging.DEBUG)
    with attached(own):
        CHILD.debug("detail")
        CHILD.info("information")
    assert own.lines == ["detail", "information"]
    assert root[1].getvalue() == "information\n"


def test_levels_and_handlers_of_the_application_below_autofr_stay_in_force(
    root: tuple[logging.Logger, io.StringIO],
) -> None:
    theirs, handler = io.StringIO(), LinesHandler()
    on_autofr = logging.StreamHandler(theirs)
    LOGGER.addHandler(on_autofr)
    LOGGER.setLevel(logging.WARNING)
    CHILD.setLevel(logging.DEBUG)
    try:
        with attached(handler):
            CHILD.debug("asked for")
            logging.getLogger("autofr.other").info("not asked for")
            logging.getLogger("autofr.other").warning("a warning")
    finally:
        LOGGER.removeHandler(on_autofr)
        LOGGER.setLevel(logging.NOTSET)
        CHILD.setLevel(logging.NOTSET)
    assert theirs.getvalue().split("\n") == root[1].getvalue().split("\n") == ["asked for", "a warning", ""]
    assert handler.lines == ["not asked for", "a warning"]


def test_warnings_are_seen_where_nothing_is_configured_and_nothing_printed() -> None:
    code = (
        "import logging\nfrom autofr.console import attached, printed\nfrom tests.logs import LinesHandler\n"
        "with printed(False), attached(LinesHandler()):\n"
        "    logging.getLogger('autofr.x').info('a line')\n    logging.getLogger('autofr.x').warning('a warning')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "a warning\n")


def test_two_threads_have_their_own_lines() -> None:
    """Blocks that overlap, the first of which ends first: each has its own lines, all of them, and none is left."""
    both, first_ended = threading.Barrier(2), threading.Event()
    heard: dict[str, list[str]] = {}

    def work(name: str) -> None:
        handler = LinesHandler()
        with attached(handler):
            both.wait(60)
            CHILD.info(f"{name} 1")
            if name == "b":
                first_ended.wait(60)
                CHILD.info("b 2")
                in_background(lambda: CHILD.info("b 3")).result(60)
        heard[name] = handler.lines
        first_ended.set()

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == {"a": ["a 1"], "b": ["b 1", "b 2", "b 3"]}


def test_what_cannot_be_printed_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    monkeypatch.setattr(sys, "stdout", ascii_only)
    with printed(True):
        CHILD.info("α")
    assert ascii_only.buffer.getvalue() == b"\\u03b1\n"  # type: ignore[attr-defined]
    if Path("/dev/full").exists():
        full = Path("/dev/full").open("w")  # noqa: SIM115  (to close it is an error too)
        monkeypatch.setattr(sys, "stdout", full)
        with printed(True):
            CHILD.info("lost")
            CHILD.info("lost too")
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_lines_come_above_the_bar_on_a_terminal() -> None:
    """What is written of a line before the bar is drawn anew: the bar's row is erased first."""
    code = (
        "import logging\nfrom autofr.console import Display, printed\n"
        "with printed(True), Display().bar('work', 3) as advance:\n"
        "    for k in range(3):\n        logging.getLogger('autofr.x').info(f'line {k}')\n        advance(1)\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, cwd=REPOSITORY, env=environment)
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while part := os.read(ours, 65536):
            written += part
    os.close(ours)
    assert process.wait() == 0
    text = written.decode()
    for k in range(3):
        before = text[: text.index(f"line {k}")]
        row = re.split(r"\n", before)[-1]
        assert "work" not in re.sub(r".*\x1b\[2K", "", row), f"line {k} is on the bar's row: {row!r}"


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, True), (logging.WARNING, False)])
def test_no_bar_where_only_warnings_are_printed(
    level: int, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    with printed(True, level), Display().bar("reading", 3) as advance:
        advance(3)
    assert ("reading" in capsys.readouterr().out) is shown
