from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autofr.masks.fabric import BLURS, HEIGHT, KINDS, WIDTH, load_fabrics


def test_every_kind_has_designs_in_range() -> None:
    fabrics = load_fabrics()
    designs = fabrics.textures.view(-1, len(BLURS), 3, HEIGHT, WIDTH)
    assert sum(fabrics.count) == len(designs)
    assert fabrics.first == tuple(np.cumsum([0, *fabrics.count[:-1]]))
    assert all(count >= 5 for kind, count in zip(KINDS, fabrics.count, strict=True) if kind != "user")
    assert fabrics.textures.isfinite().all()
    light = designs[:, 0].sum(1)  # the relief: shares of the three colours add up to one
    assert light.min() > 0.2
    assert light.max() < 1.8
    assert ((light.mean((1, 2)) - 1).abs() < 0.2).all()


def test_designs_differ_and_are_the_same_every_time() -> None:
    fabrics = load_fabrics()
    assert len({d.numpy().tobytes() for d in fabrics.textures}) == len(fabrics.textures)
    load_fabrics.__globals__["_drawn"].cache_clear()
    assert torch.equal(load_fabrics().textures, fabrics.textures)


def test_patterned_cloth_shows_more_than_one_colour_and_plain_cloth_one() -> None:
    fabrics = load_fabrics()
    designs = fabrics.textures.view(-1, len(BLURS), 3, HEIGHT, WIDTH)[:, 0]
    for kind, first, count in zip(KINDS, fabrics.first, fabrics.count, strict=True):
        others = designs[first : first + count, 1:].amax(1).flatten(1)
        if kind == "plain":
            assert not others.any()
        elif kind in ("striped", "checked", "dotted", "floral"):
            assert (others.amax(1) > 0.5).all()
            assert ((others > 0.3).float().mean(1) > 0.03).all()


def test_blurred_copies_are_softer() -> None:
    designs = load_fabrics().textures.view(-1, len(BLURS), 3, HEIGHT, WIDTH)
    rough = designs.diff(dim=-1).square().mean((2, 3, 4))
    assert (rough.diff(dim=1) < 0).all()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_users_textures_follow_the_drawn_ones(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (31, 77), (250, 10, 10)).save(tmp_path / f"red.{suffix}")
    Image.new("L", (5, 5), 128).save(tmp_path / f"grey.{suffix}")
    (tmp_path / "readme.txt").write_text("not cloth")
    fabrics, drawn = load_fabrics(tmp_path), load_fabrics()
    assert fabrics.count[KINDS.index("user")] == 2
    assert drawn.count[KINDS.index("user")] == 0
    own = fabrics.textures[fabrics.first[KINDS.index("user")] * len(BLURS) :]
    assert own.shape == (2 * len(BLURS), 3, HEIGHT, WIDTH)
    torch.testing.assert_close(own[len(BLURS)].mean((1, 2)), torch.tensor([250, 10, 10]) / 255, atol=0.02, rtol=0)
    assert torch.equal(fabrics.textures[: len(drawn.textures)], drawn.textures)
