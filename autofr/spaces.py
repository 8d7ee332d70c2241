"""Search spaces: what a search may choose, as plain Python.

A space file defines one module-level ``space``::

    from autofr import Choice, SearchSpace
    from autofr.losses import ArcFace

    space = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3, 0.5)))
"""

from __future__ import annotations

import ast
import importlib.metadata
import runpy
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from autofr.exceptions import AutofrError, unknown

Assignment: TypeAlias = dict[str, int]
"""One option for every dimension, by index: ``{"loss": 3}``."""

ENTRY_POINT_GROUP = "autofr.search_spaces"
DIMENSIONS = ("loss", "backbone")


class Choice:
    """The options of one dimension, in order.

    Args:
        options: the options themselves (``Choice(a, b)``), or one iterable of them (``Choice(f(m) for m in ms)``).
            An option is named by ``str(option)``: losses and backbone names have telling ones.

    Raises:
        AutofrError: no option, or two options of the same name.
    """

    def __init__(self, *options: Any) -> None:
        if len(options) == 1 and isinstance(options[0], Iterable) and not isinstance(options[0], str):
            options = tuple(options[0])
        self.options: tuple[Any, ...] = options
        self.names: tuple[str, ...] = tuple(str(option) for option in options)
        if not options:
            raise AutofrError("a Choice has no options; give it at least one")
        repeated = sorted({name for name in self.names if self.names.count(name) > 1})
        if repeated:
            raise AutofrError(
                f"a Choice has duplicate options: {', '.join(repeated)}; name each once (a loss of your own lists its "
                "parameters in settings())"
            )

    def __len__(self) -> int:
        return len(self.options)

    def __repr__(self) -> str:
        return f"Choice({', '.join(self.names)})"


class SearchSpace:
    """Named dimensions, each a :class:`Choice`. An assignment picks one option of every dimension.

    Args:
        dimensions: ``loss`` (required: margin losses of :mod:`autofr.losses`, or your own) and, if the network is
            searched too, ``backbone`` (names that :func:`autofr.backbones.create_backbone` takes).

    Raises:
        AutofrError: a dimension that the engine does not know, one that is no ``Choice``, or no ``loss``.
    """

    def __init__(self, **dimensions: Choice) -> None:
        for name, choice in dimensions.items():
            if name not in DIMENSIONS:
                raise unknown("dimension", name, DIMENSIONS)
            if not isinstance(choice, Choice):
                raise AutofrError(f"dimension '{name}' is a {type(choice).__name__}; wrap its options in Choice(...)")
        if "loss" not in dimensions:
            raise AutofrError("a SearchSpace needs a 'loss' dimension, e.g. loss=Choice(ArcFace(0.3), ArcFace(0.5))")
        self.dimensions: dict[str, Choice] = dict(dimensions)
        self.doc = ""
        self.file: str | None = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.dimensions)

    def option(self, dimension: str, assignment: Mapping[str, int]) -> Any:
        """The option that ``assignment`` picks in ``dimension``."""
        return self.dimensions[dimension].options[assignment[dimension]]

    def describe(self, assignment: Mapping[str, int]) -> dict[str, str]:
        """``assignment`` with names in place of indices: ``{"loss": "ArcFace(m=0.3)"}``."""
        return {name: choice.names[assignment[name]] for name, choice in self.dimensions.items()}

    def names(self) -> dict[str, list[str]]:
        """The option names of every dimension: what a run directory records of its space."""
        return {name: list(choice.names) for name, choice in self.dimensions.items()}

    def __repr__(self) -> str:
        return f"SearchSpace({', '.join(f'{k}={v!r}' for k, v in self.dimensions.items())})"


# Beside the package, in a checkout as in site-packages. Not imported: a user's own ./search_spaces would shadow it.
_SHIPPED = Path(__file__).resolve().parent.parent / "search_spaces"


def _space_files(folder: Path) -> dict[str, Path]:
    return {p.stem: p for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


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
    space = _checked(namespace.get("space"), f"space file {path}", namespace.get("__doc__"))
    space.file = str(path.resolve())
    return space


def load_space(name: str) -> SearchSpace:
    """The space called ``name``: a path to a ``.py`` file, a file in ``./search_spaces/``, a shipped space, or an
    entry point of group ``autofr.search_spaces``, looked for in that order.

    A space file is Python and is executed: name only files that you trust.

    Raises:
        AutofrError: no such space (the nearest names are offered), or the file raises or defines no ``space``.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise AutofrError(f"no space file {name}; give a path to a .py file, or a name that 'autofr spaces' lists")
        return _from_file(Path(name))
    for files in (_space_files(Path("search_spaces")), _space_files(_SHIPPED)):
        if name in files:
            return _from_file(files[name])
    points = _entry_points()
    if name not in points:
        raise unknown("space", name, available_spaces())
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
        doc = ast.get_docstring(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError) as error:
        return f"broken: {error}"
    return (doc or "(no docstring)").splitlines()[0]
