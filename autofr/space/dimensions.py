"""One dimension of a search space: options to choose from, or a parameter between bounds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from autofr.exceptions import AutofrError
from autofr.registry import settings_of, settings_text

if TYPE_CHECKING:
    import numpy as np  # `autofr --help` does not wait for it

T = TypeVar("T")
Value: TypeAlias = int | float
"""What is drawn in one dimension: the index of an option of a :class:`Choice`, or a number within a :class:`Range`."""


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

    def index(self, value: Value) -> int:
        """The place of ``value`` in α: it is that place.

        Raises:
            ValueError: there is no such option.
        """
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < len(self):
            raise ValueError(f"{value!r} is no valid option of {len(self)}")
        return value

    def draw(self, index: int, rng: np.random.Generator) -> Value:
        """The value at place ``index`` of α."""
        return int(index)

    def name(self, value: Value) -> str:
        """How ``value`` is called in tables."""
        return self.names[self.index(value)]

    def option(self, value: Value) -> Any:
        """The option that ``value`` means."""
        return self.options[self.index(value)]

    def pick(self, copies: Sequence[T], value: Value) -> T:
        """Of a member's ``copies`` of the options, the one that ``value`` means."""
        return copies[self.index(value)]


class Range:
    """One parameter of a loss, anywhere between two bounds: ``Range(ArcFace, m=(0.05, 0.5))``.

    α of a range is told by ``bins`` intervals of equal width. A policy over options draws an interval, and a number
    evenly within it; ``lfs_gaussian`` and Optuna's samplers draw the number itself.

    Args:
        make: takes the parameter by its name and gives the loss, which reads it from an attribute of that name.
        bins: intervals, 1 or more.
        bounds: the parameter's name, with its lowest and its highest value.

    Raises:
        AutofrError: not one parameter with two bounds in order, or ``make`` refuses them.
    """

    def __init__(self, make: Callable[..., Any], bins: int = 10, **bounds: tuple[float, float]) -> None:
        if len(bounds) != 1:
            raise AutofrError("a Range has one parameter with its bounds, e.g. Range(ArcFace, m=(0.05, 0.5))")
        self.parameter, given = next(iter(bounds.items()))
        what = f"Range of {self.parameter}"
        try:
            self.low, self.high = map(float, given)
        except (TypeError, ValueError, OverflowError):
            raise AutofrError(f"{what}: bounds are two numbers, (low, high), got {given!r}") from None
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise AutofrError(f"{what} runs from a lower to a higher finite bound, got {given!r}")
        if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
            raise AutofrError(f"{what}: bins is a whole number, 1 or more, got {bins!r}")
        self.make, self.bins = make, bins
        try:
            ends = [self.option(value) for value in (self.low, self.high)]
        except (TypeError, ValueError, ArithmeticError) as error:
            raise AutofrError(f"{what} from {self.low:g} to {self.high:g}: {error}") from error
        if [getattr(end, self.parameter, None) for end in ends] != [self.low, self.high]:
            raise AutofrError(
                f"{type(ends[0]).__name__} keeps no attribute '{self.parameter}': a Range could not set it"
            )
        self.options = tuple(ends[:1])
        edges = [self.at(i / bins) for i in range(bins + 1)]
        self.names = tuple(self._named(ends[0], f"{a:.4g}..{b:.4g}") for a, b in itertools.pairwise(edges))
        if len(set(self.names)) < bins:
            raise AutofrError(f"{what} from {self.low:g} to {self.high:g} is too narrow for {bins} bins; give fewer")

    def _named(self, option: Any, value: str) -> str:
        """``option``'s name with ``value`` for its parameter, and all its other settings."""
        others = {name: setting for name, setting in settings_of(option).items() if name != self.parameter}
        return f"{type(option).__name__}({', '.join([f'{self.parameter}={value}', *settings_text(others)])})"

    def __len__(self) -> int:
        return self.bins

    def __repr__(self) -> str:
        return f"Range({self.names[0]} to {self.names[-1]})"

    def index(self, value: Value) -> int:
        """The interval that ``value`` lies in.

        Raises:
            ValueError: it lies outside the bounds.
        """
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and self.low <= value <= self.high):
            raise ValueError(f"{value!r} is no valid option from {self.low:g} to {self.high:g}")
        return min(self.bins - 1, int((value - self.low) / (self.high - self.low) * self.bins))

    @property
    def middles(self) -> tuple[str, ...]:
        """How the loss is called with the parameter in the middle of each interval."""
        return tuple(self.name(self.at((k + 0.5) / self.bins)) for k in range(self.bins))

    def draw(self, index: int, rng: np.random.Generator) -> Value:
        """A number, evenly within interval ``index``."""
        return self.at((index + rng.random()) / self.bins)

    def at(self, share: float) -> float:
        """The number a ``share`` (0 to 1) of the way from the lower bound to the higher."""
        return min(max(self.low + share * (self.high - self.low), self.low), self.high)

    def name(self, value: Value) -> str:
        """How the loss with the parameter at ``value`` is called in tables."""
        self.index(value)
        return self._named(self.options[0], f"{value:.4g}")

    def option(self, value: Value) -> Any:
        """The loss with the parameter at ``value``, made anew."""
        return self.make(**{self.parameter: value})

    def pick(self, copies: Sequence[T], value: Value) -> T:
        """A member's one copy of the loss, its parameter set to ``value``."""
        self.index(value)
        setattr(copies[0], self.parameter, value)
        return copies[0]


Dimension: TypeAlias = Choice | Range
