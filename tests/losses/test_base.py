import pytest
import torch
from torch import Tensor

from autofr import AutofrError
from autofr.losses import LOSSES, ArcFace, CombinedMargin, CosFace, ElasticFace, MarginLoss, NormSoftmax, create_loss
from autofr.testing import LossContract


class TestNormSoftmax(LossContract):
    def make(self, s: float) -> MarginLoss:
        return NormSoftmax(s)


def test_norm_softmax_equals_the_formula(batch, softmax_cost) -> None:  # type: ignore[no-untyped-def]
    cosines, labels, _ = batch
    expected = softmax_cost(cosines, labels, 24, lambda c, i: c)
    assert float(NormSoftmax(24)(cosines, labels)) == pytest.approx(expected, rel=1e-12)


SOFTMAXES = ["adaface", "arcface", "combined", "cosface", "curricularface", "elasticface", "lfs_softmax", "magface"]
SOFTMAXES += ["mv_softmax", "norm_softmax"]


@pytest.mark.parametrize("name", SOFTMAXES)
def test_no_ramp_yet_is_the_normalised_softmax(name: str, batch: tuple[Tensor, ...]) -> None:
    loss = create_loss(f"{name}:s=16")
    loss.ramp = 0.0
    torch.testing.assert_close(loss(*batch), NormSoftmax(16)(*batch), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [ArcFace(0, 16), CosFace(0, 16), CombinedMargin(1, 0, 0, 16), ElasticFace(0, 0, s=16)],
    ids=str,
)
def test_no_margin_is_the_normalised_softmax(loss: MarginLoss, batch: tuple[Tensor, ...]) -> None:
    torch.testing.assert_close(loss(*batch), NormSoftmax(16)(*batch), rtol=1e-9, atol=1e-12)


def test_every_loss_has_defaults_and_a_name_of_its_own() -> None:
    names = [str(create_loss(name)) for name in LOSSES]
    assert len(set(names)) == len(LOSSES) == 13


@pytest.mark.parametrize(
    "spec", [*LOSSES, "mv_softmax:kind=arc,adaptive=False", "adaface:0.3,s=64", "uniface:lambda_=2"]
)
def test_the_name_in_a_table_describes_the_loss(spec: str) -> None:
    assert str(create_loss(str(create_loss(spec)))) == str(create_loss(spec))


def test_a_loss_by_name_with_settings() -> None:
    assert str(create_loss("arcface:0.3")) == "ArcFace(m=0.3)"
    assert str(create_loss("arcface:m=0.3,s=64")) == "ArcFace(m=0.3, s=64)"
    assert str(create_loss("elasticface:kind=cos,plus=true")) == "ElasticFace(m=0.35, kind=cos, sigma=0.025, plus=True)"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("arcfase", "unknown loss 'arcfase'; did you mean arcface"),
        ("arcface:7", "m is an angle from 0 to π/2 radians, got 7"),
        ("arcface:margin=0.3", "has no setting 'margin'; it takes m, s"),
        ("arcface:0.3,64,5", "has 3 settings by place; 'arcface' takes m, s"),
        ("arcface:0.3,m=0.4", "sets 'm' twice"),
        ("arcface:much", "loss 'arcface:much': "),
        ("arcface:s=0", "must be above 0"),
    ],
)
def test_a_wrong_description_is_told(spec: str, told: str) -> None:
    with pytest.raises(AutofrError) as error:
        create_loss(spec)
    assert told in str(error.value)


def test_state_is_what_is_declared() -> None:
    kept = {name: sorted(create_loss(name).state_dict()) for name in LOSSES}
    assert {name: state for name, state in kept.items() if state} == {
        "adaface": ["batches", "norm_mean", "norm_std"],
        "curricularface": ["t"],
        "sphereface2": ["bias"],
        "uniface": ["bias"],
    }
