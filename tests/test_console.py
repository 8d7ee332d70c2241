"""How log lines reach the terminal and the application's own handlers."""

import io
import logging
from collections.abc import Iterator

import pytest

from autofr.console import LOGGER, TIMED, Display, attached, printed
from tests.logs import LinesHandler

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


def test_the_application_sees_what_it_saw_before() -> None:
    """A handler that takes details does not make those of the application take them."""
    root, lines = logging.getLogger(), io.StringIO()
    application, own = logging.StreamHandler(lines), LinesHandler()
    own.setLevel(logging.DEBUG)
    root.addHandler(application)
    before = root.level
    root.setLevel(logging.INFO)
    try:
        with attached(own):
            CHILD.debug("detail")
            CHILD.info("information")
    finally:
        root.removeHandler(application)
        root.setLevel(before)
    assert own.lines == ["detail", "information"]
    assert lines.getvalue() == "information\n"


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, True), (logging.WARNING, False)])
def test_no_bar_where_only_warnings_are_printed(
    level: int, shown: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    with printed(True, level), Display().bar("reading", 3) as advance:
        advance(3)
    assert ("reading" in capsys.readouterr().out) is shown
