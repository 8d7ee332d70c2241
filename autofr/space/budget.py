"""Which architectures of a space can be built, share their weights, and lie within its budgets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from autofr.backbones.costs import shapes
from autofr.backbones.slices import window
from autofr.exceptions import AutofrError
from autofr.space.constraints import name_of
from autofr.space.elastic import Elastic
from autofr.space.space import SearchSpace

MOST, EACH = 20_000, 100
"""Architectures whose costs are found one by one, and that are built one by one where there are no constraints."""


def check_architectures(space: SearchSpace, default: str, image_size: int, embedding_dim: int) -> None:
    """Nothing, if the networks of ``space`` can be built for such images and embeddings, and those of an elastic one
    are slices of its largest.

    Args:
        space: the space.
        default: the backbone where the space has none.
        image_size: pixels.
        embedding_dim: length of the embedding.

    Raises:
        AutofrError: one cannot, or is none.
    """
    if space.elastic is not None:
        few = space.size <= EACH
        names = map(space.network, space.architectures()) if few else space.elastic.around()
        _check_slices(space.elastic, names, image_size, embedding_dim)
        return
    options = space.dimensions["backbone"].options if "backbone" in space else (default,)
    for option in map(str, options):
        if option.startswith("timm/"):
            _refuse_published(option.removeprefix("timm/"))
        shapes(option, image_size, embedding_dim)


def _refuse_published(name: str) -> None:
    import timm

    if name.startswith(("hf-hub:", "hf_hub:", "local-dir:")) or "." in name:
        bare = name.partition(".")[0]
        remedy = f"take timm/{bare}" if timm.is_model(bare) else "name an architecture that timm has, as timm/resnet18"
        raise AutofrError(
            f"timm/{name} names published weights, which would have to be downloaded; a search starts at random: "
            f"{remedy}"
        )


def _check_slices(elastic: Elastic, variants: Iterable[str], image_size: int, embedding_dim: int) -> None:
    largest = shapes(elastic.largest, image_size, embedding_dim)
    for variant in variants:
        for name, shape in shapes(variant, image_size, embedding_dim).items():
            try:
                window(largest[name], shape)
            except (KeyError, ValueError) as error:
                told = "there is none" if isinstance(error, KeyError) else str(error)
                raise AutofrError(
                    f"{variant} is no slice of {elastic.largest}: its tensor {name} is {tuple(shape)}, and {told}; "
                    "list the options of each choice from the smallest to the largest"
                ) from error


def within_budget(
    space: SearchSpace, default: str, image_size: int, embedding_dim: int, advance: Callable[[int], None] | None = None
) -> SearchSpace:
    """``space`` with its architectures restricted to those that meet every constraint of it.

    Args:
        space, default, image_size, embedding_dim: as for :func:`check_architectures`.
        advance: called with 1 after each architecture.

    Raises:
        AutofrError: none meets them; the nearest is named.
    """
    if not space.constraints:
        return space
    if space.size > MOST:
        raise AutofrError(f"a space with constraints has {MOST} architectures at most, not {space.size}: drop options")
    ordered = sorted(space.constraints, key=lambda constraint: constraint.measured)  # what is dear to know last
    allowed, nearest = [], (math.inf, "none has a cost that is a number")
    for architecture in space.architectures():
        name = space.network(architecture, default)
        for constraint in ordered:
            found = constraint.cost(name, image_size, embedding_dim)
            if not found <= constraint.limit:
                over = found / constraint.limit if constraint.limit > 0 else found
                nearest = min(nearest, (over, f"{name} is at {found:.4g}, over {name_of(constraint)}"))
                break
        else:
            allowed.append(architecture)
        if advance is not None:
            advance(1)
    if not allowed:
        raise AutofrError(f"no architecture of the space is within its constraints; the nearest, {nearest[1]}")
    return space.within(allowed)
