import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autofr import AutofrError
from autofr.data import synthetic_faces
from autofr.engine.validation import Scores, Validation
from autofr.evaluation.embedding import embed, embed_set, masked_copies, masked_faces, read_all
from autofr.evaluation.errors import measure, measure_scores
from autofr.evaluation.rewards import REWARDS, fmrs_around
from autofr.evaluation.streaming import AllPairs, Side
from autofr.models.base import TorchModel

FACES = synthetic_faces(8, 4, 32)
CPU = torch.device("cpu")


class Pixels(nn.Module):
    """An "embedding" that is the image itself."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.factor


@pytest.mark.parametrize("name", REWARDS)
def test_reward_weighs_masked_errors_three_to_one(name: str) -> None:
    scores = Validation(FACES, 0.2, 0, CPU, reward=name).score(Pixels())
    pixels = read_all(FACES)
    ids = torch.arange(len(FACES))
    plain, masked = (
        Side(embed(Pixels(), images), FACES.labels, ids)
        for images in (pixels, masked_copies(FACES.landmarks, pixels, 0))
    )
    found = []
    for pairs in (AllPairs(plain), AllPairs(plain, masked)):
        errors = measure(pairs, [0.2, *fmrs_around(0.2, 448)])
        found.append(REWARDS[name](errors))
    assert scores.reward == pytest.approx(0.25 * found[0] + 0.75 * found[1], rel=1e-12)
    if name == "fnmr":
        assert scores.mfr is not None
        assert scores.reward == pytest.approx(-(0.75 * scores.mfr + 0.25 * scores.sfr))


def test_scores_without_numbers_that_json_does_not_have() -> None:
    assert Scores(math.nan, None, math.nan).to_json() == {"sfr": None, "mfr": None}
    assert Scores(0.5, 0.25, -0.3).to_json() == {"sfr": 0.5, "mfr": 0.25}


def test_scores_plain_pairs_and_masked_against_plain_ones() -> None:
    pixels, labels = read_all(FACES), FACES.labels
    plain, masked = embed(Pixels(), pixels), embed(Pixels(), masked_copies(FACES.landmarks, pixels, 0))
    scores = Validation(FACES, 0.2, 0, CPU).score(Pixels())
    different = labels[:, None] != labels[None]
    other = ~torch.eye(len(labels), dtype=torch.bool)
    upper = other.triu()

    def fnmr(table: Tensor, counted: Tensor) -> float:
        return measure_scores(table[~different & counted], table[different & counted], [0.2]).fnmr[0.2]

    assert scores.sfr == fnmr(plain @ plain.T, upper)
    assert scores.mfr == fnmr(masked @ plain.T, other)
    assert 0 < scores.sfr < 1
    assert scores.mfr != scores.sfr


def test_scores_are_the_same_every_time() -> None:
    assert Validation(FACES, 0.05, 0, CPU).score(Pixels()) == Validation(FACES, 0.05, 0, CPU).score(Pixels())


def test_faces_without_landmarks_are_scored_unmasked() -> None:
    scores = Validation(replace(FACES, landmarks=None), 0.05, 0, CPU, reward="fnmr").score(Pixels())
    assert scores.mfr is None
    assert scores.reward == -scores.sfr


def test_a_diverged_network_scores_nan() -> None:
    assert math.isnan(Validation(FACES, 0.05, 0, CPU).score(Pixels(math.nan)).reward)


def test_masked_copies_depend_on_the_seed_alone() -> None:
    pixels = read_all(FACES)
    one, same, other = (masked_copies(FACES.landmarks, pixels, seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert (one != pixels).flatten(1).any(1).all()


def test_embed_normalises_and_restores_the_mode() -> None:
    net = Pixels().train()
    pixels = read_all(FACES)[:6]
    plain = embed(net, pixels)
    assert net.training
    torch.testing.assert_close(plain.norm(dim=1), torch.ones(6))
    by_hand = (pixels.float() / 127.5 - 1).flatten(1)
    torch.testing.assert_close(plain, nn.functional.normalize(by_hand), atol=1e-5, rtol=1e-5)


def test_a_face_without_landmarks_does_not_count_as_masked() -> None:
    landmarks = FACES.landmarks.clone()
    landmarks[5] = math.nan
    scores = Validation(replace(FACES, landmarks=landmarks), 0.2, 0, CPU).score(Pixels())
    kept = torch.tensor([i for i in range(len(FACES)) if i != 5])
    pixels = read_all(FACES)
    masked = masked_copies(landmarks, pixels, 0)[kept]
    sides = [Side(v, FACES.labels[kept], kept) for v in (embed(Pixels(), pixels)[kept], embed(Pixels(), masked))]
    assert scores.mfr == measure(AllPairs(*sides), [0.2]).fnmr[0.2]


def test_a_set_embedded_in_chunks_is_embedded_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autofr.evaluation.embedding.BATCH", 8)
    done: list[int] = []
    model = TorchModel(Pixels(), "pixels", {}, FACES.image_size, CPU)
    plain, masked = embed_set(model, FACES, False, 3, done.append)
    pixels = read_all(FACES)
    copies = masked_copies(FACES.landmarks, pixels, 3)
    torch.testing.assert_close(plain, model.embed(pixels))
    torch.testing.assert_close(masked, model.embed(copies))
    assert sum(done) == len(FACES)
    some = masked_faces(FACES, [30, 3, 9], 3)
    assert sorted(some) == [3, 9, 30]
    assert all(torch.equal(some[place], copies[place]) for place in some)
    assert embed_set(model, FACES, False, None, done.append)[1] is None


def test_too_few_impostor_pairs_are_told() -> None:
    with pytest.raises(AutofrError, match="raise --fmr or --validation-identities"):
        Validation(FACES, 1e-3, 0, CPU)
