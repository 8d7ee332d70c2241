"""A loss of the user's own that cannot work is found before anything is trained."""

from __future__ import annotations

import copy

import torch

from autofr.compute.seeding import seeded
from autofr.exceptions import AutofrError
from autofr.losses import MarginLoss
from autofr.losses.base import goes_by_parts
from autofr.space.dimensions import Range
from autofr.space.space import SearchSpace


def try_losses(space: SearchSpace) -> None:
    """Nothing, if every loss of ``space`` can be called, and heeds its parameter where that is searched.

    Raises:
        AutofrError: one is no loss, fails on a batch, or does not heed it.
    """
    for option in space.dimensions["loss"].options:
        if not isinstance(option, MarginLoss):
            raise AutofrError(f"loss option '{option}' is a {type(option).__name__}, not a MarginLoss of autofr.losses")
        _try_out(option)
    if isinstance(space.dimensions["loss"], Range):
        _try_range(space.dimensions["loss"])


def check_shared(space: SearchSpace) -> None:
    """Nothing, if ranks can share the classes of every loss of ``space``.

    Raises:
        AutofrError: one gives ``forward`` alone: what others make of its parts would be another loss.
    """
    for option in space.dimensions["loss"].options:
        if not goes_by_parts(option):
            raise AutofrError(
                f"loss option '{option}' gives forward alone, and ranks cannot share its classes: give it pool, join "
                "and cost (autofr.losses.MarginLoss), or take --mesh data=1"
            )


def _try_out(option: MarginLoss) -> torch.Tensor:
    """The value of a loss on a batch."""
    loss = copy.deepcopy(option)
    loss.s = 16.0 if loss.s is None else loss.s
    cosines = torch.linspace(-0.5, 0.5, 4 * loss.sub_centres).view(2, -1)
    try:
        with seeded(0, "try out"):
            value = loss(cosines, torch.tensor([0, 1]), torch.tensor([10.0, 20.0]))
    except Exception as error:
        raise AutofrError(f"loss option '{option}' fails on a batch: {type(error).__name__}: {error}") from error
    if not (isinstance(value, torch.Tensor) and value.ndim == 0):
        raise AutofrError(f"loss option '{option}' gives no scalar for (cosines, labels, norms)")
    return value


def _try_range(dimension: Range) -> None:
    """Setting the parameter must do what making the loss anew does; one that computes from it when made does not."""
    made, kept = dimension.option(dimension.high), copy.deepcopy(dimension.options[0])
    dimension.pick([kept], dimension.high)
    if not torch.equal(_try_out(made), _try_out(kept)):
        raise AutofrError(
            f"{type(made).__name__} does not heed a change of its attribute '{dimension.parameter}': "
            "let it compute from it when it is called, not when it is made"
        )
