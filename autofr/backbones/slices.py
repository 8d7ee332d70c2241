"""Slices of one set of weights: how a smaller network of a family lies in the largest one.

A tensor of the smaller network is the tensor of the same name in the larger one, cut: the first channels, the middle
of a convolution's kernel. Blocks that the smaller one does not have are tensors that it does not name. So any network
class can be elastic whose tensors keep their names as it shrinks; nothing else is asked of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor


def window(large: Sequence[int], small: Sequence[int]) -> tuple[slice, ...]:
    """Where a tensor of shape ``small`` lies in one of shape ``large``: the first entries of the first two dimensions
    (channels), the middle of the others (a kernel).

    Raises:
        ValueError: it does not fit in; or not in the middle, an odd kernel in an even one.
    """
    if len(large) != len(small) or any(s > b for s, b in zip(small, large, strict=True)):
        raise ValueError(f"{tuple(small)} is no slice of {tuple(large)}")
    starts = [0 if i < 2 else (b - s) / 2 for i, (s, b) in enumerate(zip(small, large, strict=True))]
    if any(start % 1 for start in starts):
        raise ValueError(f"{tuple(small)} does not lie in the middle of {tuple(large)}")
    return tuple(slice(int(start), int(start) + s) for start, s in zip(starts, small, strict=True))


def take(large: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a smaller network out of a larger one's, as views.

    Args:
        large: tensors by name.
        shapes: of the smaller network, by name.

    Raises:
        ValueError: one is no slice of the larger one's.
    """
    missing = sorted(shapes.keys() - large.keys())
    if missing:
        raise ValueError(f"there is no {missing[0]} to be a slice of")
    return {name: large[name][window(large[name].shape, shape)] for name, shape in shapes.items()}


def put(large: Mapping[str, Tensor], small: Mapping[str, Tensor]) -> None:
    """Write the tensors of a smaller network back to where :func:`take` took them from."""
    for name, tensor in small.items():
        large[name][window(large[name].shape, tensor.shape)] = tensor
