"""Search spaces: what a search may choose, as plain Python.

A space file defines one module-level ``space``::

    from autofr import Choice, SearchSpace
    from autofr.losses import ArcFace

    space = SearchSpace(loss=Choice(ArcFace(m) for m in (0.1, 0.3, 0.5)))
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from autofr.exceptions import AutofrError, UnknownNameError
from autofr.space.constraints import Constraint
from autofr.space.dimensions import Choice, Dimension, Range, Value
from autofr.space.elastic import Elastic

Assignment: TypeAlias = dict[str, Value]
"""One value for every dimension: ``{"loss": 3}``."""

DIMENSIONS = ("loss", "backbone")


def _refuse_bare_options(name: str, dimension: Any) -> Dimension:
    if not isinstance(dimension, Choice | Range):
        kind = type(dimension).__name__
        raise AutofrError(f"dimension '{name}' is a {kind}; wrap its options in Choice(...)")
    if any(isinstance(option, Elastic) for option in dimension.options):
        raise AutofrError(
            f"dimension '{name}' has an Elastic for an option; it is a backbone by itself: backbone=Elastic(...)"
        )
    return dimension


class SearchSpace:
    """Named dimensions, each a :class:`Choice` or a :class:`Range`. An assignment has one value for every dimension.

    Args:
        constraints: budgets (:mod:`autofr.space.constraints`); an architecture beyond one is never drawn.
        dimensions: ``loss`` (required: margin losses of :mod:`autofr.losses`, or your own) and, if the network is
            searched too, ``backbone``: a ``Choice`` of names that :func:`autofr.backbones.create_backbone` takes, or an
            :class:`Elastic`, whose choices become dimensions.

    Attributes:
        dimensions: by name, in the order of α; those of the architecture are all but ``loss``.
        elastic: the ``Elastic`` that the network is drawn from, if any.
        constraints: the budgets.
        allowed: architectures within the budgets, each a tuple of one index for each of :attr:`architecture`; ``None``:
            all. :func:`autofr.space.budget.within_budget` finds them, once the size of the images is known.

    Raises:
        AutofrError: a dimension that the engine does not know, one that is no ``Choice`` or ``Range``, or no ``loss``.
    """

    def __init__(self, *, constraints: Sequence[Constraint] = (), **dimensions: Dimension | Elastic) -> None:
        self.dimensions: dict[str, Dimension] = {}
        self.elastic: Elastic | None = None
        for name, dimension in dimensions.items():
            if name not in DIMENSIONS:
                raise UnknownNameError("dimension", name, DIMENSIONS)
            if name == "backbone" and isinstance(dimension, Elastic):
                self.elastic = dimension
                self.dimensions |= dimension.choices
                continue
            self.dimensions[name] = _refuse_bare_options(name, dimension)
            if name != "loss" and isinstance(dimension, Range):
                raise AutofrError(f"dimension '{name}' is a Range; only a loss has a parameter to range over")
        if "loss" not in dimensions:
            raise AutofrError("a SearchSpace needs a 'loss' dimension, e.g. loss=Choice(ArcFace(0.3), ArcFace(0.5))")
        if not isinstance(constraints, list | tuple):
            raise AutofrError("constraints is a list: constraints=[MaxFLOPs(450e6)]")
        for constraint in constraints:
            if not all(hasattr(constraint, part) for part in ("limit", "measured", "cost")):
                raise AutofrError(
                    f"constraint {constraint!r} is none: take MaxParams, MaxFLOPs or MaxLatency of autofr"
                )
        self.constraints = tuple(constraints)
        self.allowed: tuple[tuple[int, ...], ...] | None = None
        self.doc = ""

    @classmethod
    def of(cls, dimensions: Mapping[str, Dimension]) -> SearchSpace:
        """A space for a policy alone (in an NNI experiment, an Optuna study): its names need not be the engine's."""
        space = cls.__new__(cls)
        space.dimensions, space.doc = dict(dimensions), ""
        space.elastic, space.constraints, space.allowed = None, (), None
        return space

    def within(self, allowed: Collection[tuple[int, ...]] | None) -> SearchSpace:
        """This space, its architectures restricted to those of ``allowed`` (``None``: unrestricted)."""
        space = copy.copy(self)
        space.allowed = None if allowed is None else tuple(sorted(allowed))
        return space

    @property
    def architecture(self) -> tuple[str, ...]:
        """The dimensions that decide the network."""
        return tuple(name for name in self.dimensions if name != "loss")

    def architectures(self) -> Iterator[tuple[int, ...]]:
        """Every combination of the architecture's options, allowed or not."""
        return itertools.product(*(range(len(self.dimensions[name])) for name in self.architecture))

    @property
    def size(self) -> int:
        """How many combinations :meth:`architectures` has."""
        return math.prod(len(self.dimensions[name]) for name in self.architecture)

    def allows(self, assignment: Mapping[str, Value]) -> bool:
        """Whether ``assignment`` is within the budgets."""
        return self.allowed is None or tuple(assignment[name] for name in self.architecture) in self.allowed

    def backbone(self, assignment: Mapping[str, Value], default: str) -> str:
        """The name of the network that ``assignment`` picks; ``default``, where the space does not search it."""
        if self.elastic is not None:
            return self.elastic.variant(assignment)
        return str(self.option("backbone", assignment)) if "backbone" in self.dimensions else default

    def network(self, architecture: Sequence[int], default: str = "") -> str:
        """The name of the network of one of :meth:`architectures`."""
        return self.backbone(dict(zip(self.architecture, architecture, strict=True)), default)

    def family(self, backbone: str) -> str:
        """The structural key of the weights of ``backbone``: the largest of its family, or itself."""
        return backbone if self.elastic is None else self.elastic.largest

    def __iter__(self) -> Iterator[str]:
        return iter(self.dimensions)

    def option(self, dimension: str, assignment: Mapping[str, Value]) -> Any:
        """The option that ``assignment`` picks in ``dimension``."""
        return self.dimensions[dimension].option(assignment[dimension])

    def describe(self, assignment: Mapping[str, Value]) -> dict[str, str]:
        """``assignment`` with names in place of values: ``{"loss": "ArcFace(m=0.3)"}``."""
        return {name: dimension.name(assignment[name]) for name, dimension in self.dimensions.items()}

    def names(self) -> dict[str, list[str]]:
        """The names of every dimension's options, the columns of α: what a run directory records of its space."""
        return {name: list(dimension.names) for name, dimension in self.dimensions.items()}

    def __repr__(self) -> str:
        return f"SearchSpace({', '.join(f'{k}={v!r}' for k, v in self.dimensions.items())})"
