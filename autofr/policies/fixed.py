"""One option for ever: plain training, in the same engine."""

from __future__ import annotations

from autofr.exceptions import AutofrError
from autofr.policies.base import CategoricalPolicy
from autofr.space.dimensions import Range
from autofr.space.space import SearchSpace


class Fixed(CategoricalPolicy):
    """Gives every member the only option there is. α is 1 on it.

    Args:
        space: a space with one option in every dimension.
        seed: unused; every policy takes one.

    Raises:
        AutofrError: a dimension has more than one option.
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        several = [n for n, d in space.dimensions.items() if len(d) > 1 or isinstance(d, Range)]
        if several:
            raise AutofrError(f"policy 'fixed' trains one option, but '{several[0]}' has several; use thompson or lfs")
        super().__init__(space, seed)
