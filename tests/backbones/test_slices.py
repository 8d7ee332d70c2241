"""Slices of one set of weights: variants of an elastic network are ordinary networks."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autofr.backbones import create_backbone
from autofr.backbones.slices import put, take, window

IR = "iresnet:widths=32-64,stem=2,depth={},width={},kernel={},resolution={}"
MOBILE = "mobilefacenet:depth={},width={},kernel={},resolution={}"
FAMILIES = {
    IR: [("1-1", "1-2", "2-2"), (0.5, 1.0), (3, 5), (0.5, 1.0)],
    MOBILE: [("1-1-1", "1-2-1"), (0.5, 0.75), (3, 5), (0.5, 1.0)],
}


def test_a_window_is_the_first_channels_and_the_middle_of_a_kernel() -> None:
    assert window((8, 6, 5, 5), (4, 6, 3, 1)) == (slice(0, 4), slice(0, 6), slice(1, 4), slice(2, 3))
    assert window((), ()) == ()
    assert window((7,), (7,)) == (slice(0, 7),)


@pytest.mark.parametrize(
    ("large", "small", "message"),
    [((4,), (5,), "no slice"), ((4, 4), (4,), "no slice"), ((4, 4, 5, 5), (4, 4, 2, 3), "middle")],
)
def test_what_is_no_slice_is_refused(large: tuple[int, ...], small: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        window(large, small)


def test_put_writes_where_take_read_and_nowhere_else() -> None:
    large = {"a": torch.arange(400.0).view(4, 4, 5, 5), "b": torch.arange(6.0)}
    before = {name: tensor.clone() for name, tensor in large.items()}
    shapes = {"a": (2, 3, 3, 3), "b": (2,)}
    small = {name: tensor.clone() for name, tensor in take(large, shapes).items()}
    assert torch.equal(small["a"], before["a"][:2, :3, 1:4, 1:4])
    put(large, {name: tensor + 1000 for name, tensor in small.items()})
    assert torch.equal(large["a"] - before["a"], F.pad(torch.full((2, 3, 3, 3), 1000.0), (1, 1, 1, 1, 0, 1, 0, 2)))
    assert large["b"].tolist() == [1000, 1001, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="there is no c"):
        take(large, {"c": (1,)})


@pytest.mark.parametrize("family", FAMILIES, ids=["ir", "mobile"])
def test_every_variant_is_a_slice_of_the_largest_and_works(family: str) -> None:
    """Of a bank of the largest one's tensors, a variant takes its own, and computes something finite with them."""
    options = FAMILIES[family]
    largest = create_backbone(family.format(*(choice[-1] for choice in options)), 64, 16).state_dict()
    images = torch.randn(2, 3, 64, 64)
    for picked in itertools.product(*options):
        net = create_backbone(family.format(*picked), 64, 16)
        own = take(largest, {name: tensor.shape for name, tensor in net.state_dict().items()})
        net.load_state_dict(own)
        out = net.eval()(images)
        assert out.shape == (2, 16)
        assert out.isfinite().all()


def test_a_sliced_block_computes_what_the_slice_of_its_weights_does() -> None:
    """Against the convolutions written out with weights cut by hand, in float64."""
    large = create_backbone(IR.format("1-1", 1.0, 5, 1.0), 32, 16).double().eval()
    small = create_backbone(IR.format("1-1", 0.5, 3, 1.0), 32, 16).double().eval()
    state = large.state_dict()
    small.load_state_dict(take(state, {name: tensor.shape for name, tensor in small.state_dict().items()}))
    x = torch.randn(3, 16, 8, 8, dtype=torch.float64)
    weights = [state[f"stages.0.0.residual.{i}.weight"][:16, :16, 1:4, 1:4] for i in (1, 4)]
    slope = state["stages.0.0.residual.3.weight"][:16]
    scale = 1 / (1 + 1e-5) ** 0.5  # BatchNorm with mean 0, variance 1, weight 1
    out = F.conv2d(x * scale, weights[0], padding=1) * scale
    out = torch.where(out > 0, out, out * slope[:, None, None])
    out = F.conv2d(out, weights[1], stride=2, padding=1) * scale
    out = out + F.conv2d(x, state["stages.0.0.shortcut.0.weight"][:16, :16], stride=2) * scale
    stage: nn.Module = small.get_submodule("stages.0")
    torch.testing.assert_close(stage(x), out)
