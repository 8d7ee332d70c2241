import pytest
import torch

from autofr.losses import ArcFace, MarginLoss, SubCentreArcFace
from autofr.testing import LossContract


class TestSubCentreArcFace(LossContract):
    def make(self, s: float) -> MarginLoss:
        return SubCentreArcFace(0.45, 3, s)


def test_it_is_arcface_on_the_nearest_centre(batch) -> None:  # type: ignore[no-untyped-def]
    """The cosines' first block of C columns holds the classes' first centres, and so on."""
    generator = torch.Generator().manual_seed(4)
    cosines = torch.rand(16, 27, generator=generator, dtype=torch.float64) * 1.9 - 0.95
    nearest = torch.tensor([[max(row[j], row[9 + j], row[18 + j]) for j in range(9)] for row in cosines.tolist()])
    value = SubCentreArcFace(0.4, 3, 16)(cosines, batch[1])
    torch.testing.assert_close(value, ArcFace(0.4, 16)(nearest.double(), batch[1]), rtol=1e-6, atol=1e-6)


def test_one_centre_is_arcface(batch) -> None:  # type: ignore[no-untyped-def]
    torch.testing.assert_close(SubCentreArcFace(0.4, 1, 16)(*batch), ArcFace(0.4, 16)(*batch))


@pytest.mark.parametrize("k", [0, 1.5])
def test_centres_are_a_whole_number(k: int) -> None:
    with pytest.raises(ValueError, match="whole number"):
        SubCentreArcFace(k=k)
