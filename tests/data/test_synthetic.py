import pytest
import torch

from autofr import AutofrError
from autofr.data import synthetic_faces

FACES = synthetic_faces(10, 6, 48)


def test_the_same_seed_draws_the_same_faces() -> None:
    every = torch.arange(60)
    assert torch.equal(FACES.read(every), synthetic_faces(10, 6, 48).read(every))
    assert not torch.equal(FACES.read(every), synthetic_faces(10, 6, 48, seed=1).read(every))


def test_landmarks_lie_on_what_is_drawn() -> None:
    """Pupils are the darkest spot near the eyes' centres; every landmark but the jaw's ends is in the picture."""
    assert FACES.landmarks is not None
    images = FACES.read(torch.arange(60)).float().mean(1)
    inner = FACES.landmarks[:, 17:]
    assert ((inner > 0) & (inner < 47)).double().mean() > 0.98
    eyes = torch.stack([FACES.landmarks[:, 36:42].mean(1), FACES.landmarks[:, 42:48].mean(1)], 1).round().long()
    cheeks = FACES.landmarks[:, [41, 46]].round().long() + torch.tensor([0, 4])
    rows = torch.arange(60)[:, None]
    clamp = (slice(None), slice(None))
    eye = images[rows, eyes[clamp][..., 1].clamp(0, 47), eyes[clamp][..., 0].clamp(0, 47)]
    cheek = images[rows, cheeks[..., 1].clamp(0, 47), cheeks[..., 0].clamp(0, 47)]
    assert (eye < cheek).double().mean() > 0.9


def test_left_is_left() -> None:
    assert FACES.landmarks is not None
    assert (FACES.landmarks[:, 36, 0] < FACES.landmarks[:, 45, 0]).all()
    assert (FACES.landmarks[:, 27, 1] < FACES.landmarks[:, 8, 1]).all()


def test_too_few_are_refused() -> None:
    with pytest.raises(AutofrError, match="or more"):
        synthetic_faces(3, 6, 48)
