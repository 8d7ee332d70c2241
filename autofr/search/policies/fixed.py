"""One option for ever: plain training, in the same engine."""

from __future__ import annotations

from autofr.exceptions import AutofrError
from autofr.search.policies.base import CategoricalPolicy
from autofr.spaces import SearchSpace


class Fixed(CategoricalPolicy):
    """Gives every member the only option there is. α is 1 on it.

    Args:
        space: a space with one option in every dimension.
        seed: unused; every policy takes one.

    Raises:
        AutofrError: a dimension has more than one option.
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        several = [name for name, choice in space.dimensions.items() if len(choice) > 1]
        if several:
            raise AutofrError(f"policy 'fixed' trains one option, but '{several[0]}' has several; use lfs or random")
        super().__init__(space, seed)
