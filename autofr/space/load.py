"""Find search spaces by name: files, shipped ones, entry points."""

from __future__ import annotations

import ast
import importlib.metadata
import runpy
from pathlib import Path
from typing import Any

from autofr.exceptions import AutofrError, UnknownNameError
from autofr.space.space import SearchSpace

ENTRY_POINT_GROUP = "autofr.search_spaces"


_MAX_FILE = 2**20


_SHIPPED = Path(__file__).resolve().parents[1] / "search_spaces"
"""Files that are read, not imported: data of the package."""


def _space_files(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


def shipped_spaces() -> dict[str, Path]:
    """The space files that come with autofr, by name."""
    return _space_files(_SHIPPED)


def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def _checked(candidate: Any, where: str, doc: str | None = None) -> SearchSpace:
    if not isinstance(candidate, SearchSpace):
        raise AutofrError(f"{where} defines no SearchSpace; end it with: space = SearchSpace(loss=Choice(...))")
    candidate.doc = (doc or "").strip()
    return candidate


def _from_file(path: Path) -> SearchSpace:
    try:
        namespace = runpy.run_path(str(path), run_name=f"autofr_space_{path.stem}")
    except AutofrError as error:
        raise AutofrError(f"space file {path}: {error}") from error
    except (Exception, SystemExit) as error:
        raise AutofrError(f"space file {path} raised {type(error).__name__}: {error}") from error
    return _checked(namespace.get("space"), f"space file {path}", namespace.get("__doc__"))


def is_space_file(name: str) -> bool:
    """Whether ``name`` is a path to a space file rather than the name of a space."""
    return name.endswith(".py")


def load_space(name: str) -> SearchSpace:
    """The space called ``name``: a path to a ``.py`` file, a file in ``./search_spaces/``, a shipped space, or an
    entry point of group ``autofr.search_spaces``, looked for in that order.

    A space file is Python and is executed: name only files that you trust.

    Raises:
        AutofrError: no such space (the nearest names are offered), or the file raises or defines no ``space``.
    """
    if is_space_file(name):
        if not Path(name).is_file():
            raise AutofrError(f"no space file {name}; give a path to a .py file, or a name that 'autofr spaces' lists")
        return _from_file(Path(name))
    for files in (_space_files(Path("search_spaces")), _space_files(_SHIPPED)):
        if name in files:
            return _from_file(files[name])
    points = _entry_points()
    if name not in points:
        raise UnknownNameError("space", name, available_spaces())
    try:
        loaded = points[name].load()
    except Exception as error:
        raise AutofrError(f"entry point '{name}' raised {type(error).__name__}: {error}") from error
    return _checked(loaded, f"entry point '{name}'", loaded.__doc__ if isinstance(loaded, SearchSpace) else None)


def available_spaces() -> dict[str, tuple[str, str]]:
    """Every space that :func:`load_space` finds by name: where it comes from, and what its docstring's first line
    says. Nothing is executed to find out. The first finder wins."""
    found = {name: ("entry point", point.value) for name, point in _entry_points().items()}
    for folder, origin in ((_SHIPPED, "shipped"), (Path("search_spaces"), "./search_spaces")):
        found |= {name: (origin, _first_line(path)) for name, path in _space_files(folder).items()}
    return found


def _first_line(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE:
            return f"broken: it has over {_MAX_FILE} bytes"
        doc = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"broken: {error or type(error).__name__}".splitlines()[0]
    return (doc or "(no docstring)").splitlines()[0]
