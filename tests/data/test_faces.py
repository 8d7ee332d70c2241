import pytest
import torch

from autofr import AutofrError
from autofr.data import Faces, split_by_identity, synthetic_faces

FACES = synthetic_faces(12, 3, 32)


def test_the_split_shares_no_identity_and_loses_no_image() -> None:
    training, validation = split_by_identity(FACES, 4, seed=0)
    assert len(validation.identities) == 4
    assert not set(training.identities) & set(validation.identities)
    assert len(training) + len(validation) == len(FACES)
    assert sorted({*training.names, *validation.names}) == sorted(FACES.names)
    assert validation.labels.tolist() == [i for i in range(4) for _ in range(3)]
    assert validation.names[0].split("/")[0] == validation.identities[0]
    index = FACES.names.index(validation.names[5])
    assert torch.equal(validation.read(torch.tensor([5])), FACES.read(torch.tensor([index])))


def test_the_seed_decides_the_split() -> None:
    one, same, other = (split_by_identity(FACES, 4, seed)[1].identities for seed in (0, 0, 1))
    assert one == same != other


def test_the_default_takes_what_there_is() -> None:
    few = FACES.subset(torch.cat([torch.arange(0, 9), torch.arange(9, 36, 3)]))
    assert len(split_by_identity(few, None, 0)[1].identities) == 2


def test_identities_with_one_image_train_only() -> None:
    alone = FACES.subset(torch.cat([torch.arange(0, 27), torch.tensor([27, 30, 33])]))
    for seed in range(10):
        _, validation = split_by_identity(alone, 9, seed)
        assert not {"person_0009", "person_0010", "person_0011"} & set(validation.identities)


@pytest.mark.parametrize(
    ("faces", "count", "message"),
    [
        (FACES, 1, "2 identities or more"),
        (FACES, 13, "has 12"),
        (FACES, 11, "fewer than 2 to train on"),
        (FACES.subset(torch.arange(0, 36, 3)), None, "has 0"),
    ],
)
def test_too_few_identities(faces: Faces, count: int | None, message: str) -> None:
    with pytest.raises(AutofrError, match=message):
        split_by_identity(faces, count, 0)


def test_the_fingerprint_tells_sets_apart() -> None:
    assert FACES.fingerprint() == synthetic_faces(12, 3, 32).fingerprint()
    assert FACES.fingerprint() != synthetic_faces(12, 3, 32, seed=1).fingerprint()
    assert FACES.fingerprint() != FACES.subset(torch.arange(35)).fingerprint()
