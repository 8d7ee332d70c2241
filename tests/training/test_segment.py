import pytest
import torch

from autofr.data import synthetic_faces
from autofr.data.loader import Batch, TrainingBatches
from autofr.data.sources import FacesSource
from autofr.training.recipe import Recipe, Timetable
from autofr.training.segment import train_segment

CPU = torch.device("cpu")
BATCHES = TrainingBatches(FacesSource(synthetic_faces(8, 5, 32), 8, 0), 0.5, 0, CPU)
TABLE = Timetable(Recipe(epochs=3, warmup=1), BATCHES.steps_per_epoch)


class Recorder:
    """A member that notes what it meets, and draws as dropout would."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.images: list[torch.Tensor] = []
        self.drawn: list[float] = []
        self.halves: list[int] = []
        self.rates: list[tuple[float, float]] = []

    def half_way(self) -> None:
        self.halves.append(len(self.images))

    def step(self, batch: Batch, lr: float, ramp: float) -> None:
        self.images.append(batch.images)
        self.drawn.append(float(torch.rand(())))
        self.rates.append((lr, ramp))


def run(generation: int, members: int = 3, lr_scale: float = 1.0) -> list[Recorder]:
    crew = [Recorder(i) for i in range(members)]
    steps: list[int] = []
    train_segment(crew, BATCHES, TABLE, TABLE.steps_of(generation), 0, lr_scale, steps.append)
    assert sum(steps) == 5
    return crew


def test_all_members_meet_the_same_batch_made_once() -> None:
    one, two, three = run(1)
    for images in zip(one.images, two.images, three.images, strict=True):
        assert images[0] is images[1] is images[2]


def test_each_member_and_step_has_its_own_random_stream() -> None:
    drawn = [value for generation in (0, 1) for member in run(generation) for value in member.drawn]
    assert len(set(drawn)) == len(drawn) == 30


def test_a_members_stream_depends_on_nothing_drawn_before() -> None:
    alone = run(2, members=1)[0]
    torch.rand(7)
    assert run(2)[0].drawn == alone.drawn


def test_rates_follow_the_timetable() -> None:
    assert run(1)[2].rates == [(TABLE.lr(step), TABLE.ramp(step)) for step in range(5, 10)]
    assert run(1, lr_scale=0.5)[0].rates[0][0] == TABLE.lr(5) / 2


@pytest.mark.parametrize(("generation", "half"), [(0, 2), (1, 2)])
def test_members_are_told_when_half_is_done(generation: int, half: int) -> None:
    assert [member.halves for member in run(generation)] == [[half]] * 3
