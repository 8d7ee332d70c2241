"""What a wheel has in it, by the project's own declaration."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.paths import REPOSITORY


@pytest.fixture
def setuptools() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    declared: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    return declared


def test_the_wheel_has_one_top_level_package(setuptools: dict[str, Any]) -> None:
    assert setuptools["packages"] == {"find": {"include": ["autofr*"]}}


def test_files_that_are_no_modules_come_along(setuptools: dict[str, Any]) -> None:
    package = REPOSITORY / "autofr"
    declared = {path for pattern in setuptools["package-data"]["autofr"] for path in package.glob(pattern)}
    assert declared == {*package.glob("search_spaces/*.py"), package / "py.typed"}
    assert len(declared) == 10
    assert (REPOSITORY / "search_spaces").resolve() == package / "search_spaces"


def test_what_ships_needs_no_development_tools() -> None:
    """Contract suites are inherited where pytest is installed; nothing else imports it, or hypothesis."""
    for path in (REPOSITORY / "autofr").rglob("*.py"):
        text = path.read_text()
        assert "hypothesis" not in text, path
        assert "import pytest" not in text or path.parent.name == "testing", path


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize("target", ["test", "quick", "soak", "lint"])
def test_what_make_runs_is_a_whole_command(target: str) -> None:
    shown = subprocess.run(["make", "-n", target], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    tests = [line for line in shown.splitlines() if "bin/pytest" in line]
    if target in ("test", "quick"):
        (command,) = tests
        assert re.search(r" -n [02] --dist worksteal", command), command
    if target == "quick":
        assert tests[0].endswith('-m "unit and not slow"')
    if target == "soak":
        assert "AUTOFR_SOAK=1" in tests[0]
    if target == "lint":
        assert "lint-imports" in shown
