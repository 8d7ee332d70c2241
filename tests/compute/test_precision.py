"""Mixed precision and compiled networks, by the members that train with them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import autofr
from autofr import AutofrError, Choice, SearchSpace
from autofr.cli import main
from autofr.compute.precision import Precision
from autofr.data import Faces
from autofr.data.loader import Batch, TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.member import Member
from autofr.losses import AdaFace, ArcFace
from autofr.training.recipe import Recipe, Timetable
from autofr.training.segment import train_segment

CPU = torch.device("cpu")
RECIPE = Recipe(backbone="ir_mini-w0.25", image_size=32, embedding_dim=16, scale=24)
SPACE = SearchSpace(loss=Choice(ArcFace(0.2), AdaFace(0.2)))


@pytest.fixture
def batches(tiny_faces: Faces) -> list[Batch]:
    return list(TrainingBatches(FacesSource(tiny_faces, 16, 0), 0.2, 0, CPU).batches(0, 4))


def member(**settings: Any) -> Member:
    torch.manual_seed(0)
    recipe = replace(RECIPE, **settings).checked()
    made = Member(0, recipe.backbone, SPACE, recipe, 12, CPU)
    made.begin(0)
    return made


def trained(made: Member, batches: list[Batch]) -> Member:
    for batch in batches:
        made.step(batch, 0.05, 1.0)
    assert made.failure is None
    return made


@pytest.mark.parametrize(("precision", "near"), [("bf16", 0.05), ("fp16", 0.01)])
def test_half_precision_trains_nearly_as_full_does(precision: str, near: float, batches: list[Batch]) -> None:
    exact, rough = trained(member(), batches), member(precision=precision)
    if precision == "fp16":  # where it settles; from its start, two to the 16, the first steps overflow
        rough.scaler.load_state_dict(rough.scaler.state_dict() | {"scale": 1024.0})
    trained(rough, batches)
    assert rough.mean_loss == pytest.approx(exact.mean_loss, rel=near)
    assert rough.mean_loss != exact.mean_loss
    assert all(t.dtype in (torch.float32, torch.int64) for t in rough.state().values())


def test_an_overflow_leaves_the_step_out_and_lowers_the_scale(batches: list[Batch]) -> None:
    made = member(precision="fp16")
    made.scaler.load_state_dict(made.scaler.state_dict() | {"scale": 2.0**60})
    before = {n: t.clone() for n, t in made.state().items() if "running" not in n and "num_batches" not in n}
    trained(made, batches[:1])
    after = made.state()
    assert all(torch.equal(t, after[n]) for n, t in before.items() if n != "scaler")
    assert after["scaler"][0] == 2.0**59
    assert made.trouble() is None


def test_the_scale_travels_with_the_weights(batches: list[Batch]) -> None:
    first, second = trained(member(precision="fp16"), batches[:3]), member(precision="fp16")
    second.load(first.state())
    for made in (first, second):
        made.step(batches[3], 0.05, 1.0)
    assert first.state().keys() == second.state().keys()
    assert all(torch.equal(t, second.state()[n]) for n, t in first.state().items())


def test_a_step_asks_the_device_for_nothing(batches: list[Batch]) -> None:
    """A number read back would make every step wait for a GPU."""
    for precision, rate in (("fp32", 1.0), ("fp16", 1.0), ("bf16", 0.5)):
        made = trained(member(precision=precision, class_rate=rate), batches[:1])
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            made.step(batches[1], 0.05, 1.0)
        assert made.failure is None
        names = {event.name for event in profile.events()}
        assert "aten::conv2d" in names
        assert not names & {"aten::_local_scalar_dense", "aten::item", "aten::nonzero", "aten::is_nonzero"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize(
    ("precision", "rate", "compiled"),
    [("fp32", 1.0, False), ("fp16", 1.0, False), ("bf16", 0.5, False), ("bf16", 1.0, True)],
)
def test_a_segment_never_waits_for_a_gpu(precision: str, rate: float, compiled: bool, tiny_faces: Faces) -> None:
    device = torch.device("cuda")
    recipe = replace(RECIPE, precision=precision, class_rate=rate, compile=compiled, epochs=9, mask_prob=0.5)
    trainees = [Member(i, RECIPE.backbone, SPACE, recipe, 12, device) for i in range(2)]
    batches = TrainingBatches(FacesSource(tiny_faces, 16, 0), 0.5, 0, device)
    timetable = Timetable(recipe, batches.steps_per_epoch)
    for made in trainees:
        made.begin(made.index)
    train_segment(
        trainees, batches, timetable, timetable.steps_of(0), 0
    )  # libraries load, constants are brought to the device
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        train_segment(trainees, batches, timetable, timetable.steps_of(1), 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [made.failure for made in trainees] == [None, None]


def test_partial_fc_in_a_member_is_resumed_exactly(batches: list[Batch]) -> None:
    first, second = trained(member(class_rate=0.5), batches[:2]), member(class_rate=0.5)
    second.load(first.state())
    for made in (first, second):
        trained(made, batches[2:])
    assert all(torch.equal(t, second.state()[n]) for n, t in first.state().items())
    assert first.state()["momentum.centres"].abs().sum() > 0


@pytest.mark.search
@pytest.mark.slow
def test_a_compiled_network_computes_the_same(batches: list[Batch]) -> None:
    small = "iresnet:widths=8,stem=2,depth=1"  # a compiler takes seconds for each layer
    plain, compiled = (trained(member(backbone=small, compile=on), batches[:2]) for on in (False, True))
    assert compiled.mean_loss == pytest.approx(plain.mean_loss, rel=1e-3)
    assert plain.state().keys() == compiled.state().keys()


@pytest.mark.search
@pytest.mark.slow
def test_a_search_in_half_precision_and_with_a_sample_of_classes(
    tmp_path: Path, tiny_faces: Faces, tiny: dict[str, Any]
) -> None:
    result = autofr.search(
        *("arcface_margins", tiny_faces),
        **tiny | {"epochs": 1},
        precision="bf16",
        class_rate=0.5,
        population=2,
        run_dir=tmp_path / "run",
    )
    assert result.config["recipe"]["precision"] == "bf16"
    assert result.config["recipe"]["class_rate"] == 0.5


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--class-rate", "0"], "class-rate is a share of the classes, above 0, up to 1, got 0.0"),
        (["--class-rate", "1.5"], "class-rate is a share"),
    ],
)
def test_what_makes_no_sense(flags: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--space", "arcface_margins", *flags]) == 2
    assert told in capsys.readouterr().err
    with pytest.raises(AutofrError, match="unknown precision 'fp8'"):
        Recipe(precision="fp8").checked()
    with pytest.raises(AutofrError, match="compile is true or false"):
        Recipe(compile=1).checked()  # type: ignore[arg-type]


def test_full_precision_is_no_context() -> None:
    assert not Precision("fp32").scaler(CPU).is_enabled()
    with Precision("fp32").context(CPU):
        assert not torch.is_autocast_enabled("cpu")
    with Precision("bf16").context(CPU):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16
