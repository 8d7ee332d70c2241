import torch

from autofr.compute.seeding import derive_seed, seeded


def test_a_seed_depends_on_all_it_is_for() -> None:
    seeds = [
        derive_seed(0, "a"),
        derive_seed(1, "a"),
        derive_seed(0, "b"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", 2),
    ]
    assert len(set(seeds)) == 5
    assert seeds[0] == derive_seed(0, "a")
    assert all(0 <= s < 2**63 for s in seeds)


def test_the_rng_is_put_back() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(0, "x"):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded(0, "x"):
        assert torch.equal(torch.rand(2), inside)
