import math

import pytest
import torch
from torch import Tensor

from autofr import AutofrError
from autofr.losses import LOSSES, ArcFace, CombinedMargin, CosFace, ElasticFace, MarginLoss, NormSoftmax, create_loss
from autofr.testing import LossContract


class TestNormSoftmax(LossContract):
    def make(self, s: float) -> MarginLoss:
        return NormSoftmax(s)

    def test_the_loss_grows_with_the_margin_in_force(self) -> None:
        """There is none: the ramp changes nothing."""
        loss, batch = self.make(16.0), self._batch()
        full = loss(*batch)
        loss.ramp = 0.0
        assert torch.equal(loss(*batch), full)


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


def test_a_description_is_a_string() -> None:
    for spec in (0.3, None, ArcFace(0.3)):
        with pytest.raises(AutofrError, match="a loss is described by a string"):
            create_loss(spec)  # type: ignore[arg-type]
    assert str(create_loss(" arcface : m = 0.3 ")) == "ArcFace(m=0.3)"


def test_a_loss_by_name_with_settings() -> None:
    assert str(create_loss("arcface:0.3")) == "ArcFace(m=0.3)"
    assert str(create_loss("arcface(m=0.3)")) == "ArcFace(m=0.3)"
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
        ("arcface:much", "loss 'arcface:much': m is a number, got 'much'"),
        ("arcface:True", "m is a number, got True"),
        ("arcface:1e400", "m is a number, got inf"),
        ("arcface:s=none,m=none", "m is a number, got None"),
        ("arcface:m=", "has an empty setting"),
        ("arcface:{[]}", "m is a number, got '{[]}'"),
        ("arcface:,,0.3", "has an empty setting"),
        ("arcface:s=64,0.3", "settings by place come first"),
        ("ArcFace(m=0.1..0.2)", "m is a number, got '0.1..0.2'"),
        ("elasticface:plus=no", "plus is True or False, got 'no'"),
        ("elasticface:kind=3", "kind is a word, got 3"),
        ("subcentre_arcface:k=2.5", "k is a whole number, got 2.5"),
        ("lfs_softmax:-1e400", "a is a number, got -inf"),
        ("arcface:s=0", "must be above 0"),
    ],
)
def test_a_wrong_description_is_told(spec: str, told: str) -> None:
    with pytest.raises(AutofrError) as error:
        create_loss(spec)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["curricularface", "mv_softmax", "adaface", "magface", "combined", "elasticface"])
def test_half_a_ramp_lies_between_none_and_all(name: str, batch: tuple[Tensor, ...]) -> None:
    loss = create_loss(f"{name}:s=16").eval()
    if name == "adaface":
        loss.train()(*batch)
        loss.eval()
    if name == "curricularface":
        loss.t.fill_(0.5)
    logits = []
    for ramp in (0.0, 0.5, 1.0):
        loss.ramp = ramp
        torch.manual_seed(0)
        logits.append(loss.logits(*batch))
    changed = logits[0] != logits[2]
    assert changed.any()
    between = (logits[1] - logits[0]) * (logits[2] - logits[1])
    assert (between[changed] > 0).float().mean() > 0.6  # a negative can change sides on the way


def test_defaults_are_the_papers() -> None:
    expected = {
        "adaface": {"m": 0.4, "h": 0.333, "t_alpha": 0.01},
        "arcface": {"m": 0.5},
        "combined": {"m1": 1.0, "m2": 0.3, "m3": 0.2},
        "cosface": {"m": 0.35},
        "curricularface": {"m": 0.5, "alpha": 0.99},
        "elasticface": {"m": 0.5, "sigma": 0.05},
        "magface": {"l_m": 0.45, "u_m": 0.8, "l_a": 10, "u_a": 110, "lambda_g": 35},
        "mv_softmax": {"m": 0.35, "t": 0.2},
        "sphereface2": {"m": 0.4, "t": 3, "lambda_": 0.7},
        "subcentre_arcface": {"m": 0.5, "sub_centres": 3},
        "uniface": {"m": 0.4, "lambda_": 1},
    }
    for name, settings in expected.items():
        loss = create_loss(name)
        assert {key: getattr(loss, key) for key in settings} == settings, name


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("arcface", "s"),
        ("adaface", "h"),
        ("magface", "u_a"),
        ("uniface", "lambda_"),
        ("sphereface2", "lw"),
        ("mv_softmax", "t"),
    ],
)
def test_nothing_is_infinite(name: str, setting: str) -> None:
    with pytest.raises(ValueError, match="got"):
        LOSSES[name](**{setting: math.inf})


def test_state_is_what_is_declared() -> None:
    kept = {name: sorted(create_loss(name).state_dict()) for name in LOSSES}
    assert {name: state for name, state in kept.items() if state} == {
        "adaface": ["batches", "norm_mean", "norm_std"],
        "curricularface": ["t"],
        "sphereface2": ["bias"],
        "uniface": ["bias"],
    }
