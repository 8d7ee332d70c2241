import torch

from autofr.data import synthetic_faces
from autofr.data.loader import TrainingBatches
from autofr.data.sources import FacesSource

FACES = synthetic_faces(8, 5, 32)
CPU = torch.device("cpu")


def test_an_epoch_meets_every_image_once() -> None:
    batches = TrainingBatches(FacesSource(FACES, 8, 0), 0.0, 0, CPU)
    assert batches.steps_per_epoch == 5
    epoch = torch.cat([batches.source.indices(step) for step in range(5)])
    assert sorted(epoch.tolist()) == list(range(40))
    assert epoch.tolist() != torch.cat([batches.source.indices(step) for step in range(5, 10)]).tolist()


def test_a_batch_depends_on_its_step_alone() -> None:
    whole = list(TrainingBatches(FacesSource(FACES, 8, 0), 0.5, 0, CPU).batches(0, 7))
    rest = list(TrainingBatches(FacesSource(FACES, 8, 0), 0.5, 0, CPU).batches(4, 7))
    for a, b in zip(whole[4:], rest, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_batches_are_normalised_flipped_and_masked() -> None:
    plain = TrainingBatches(FacesSource(FACES, 8, 0), 0.0, 0, CPU)
    masked = TrainingBatches(FacesSource(FACES, 8, 0), 1.0, 0, CPU)
    flips = 0
    for step, (a, b) in enumerate(zip(plain.batches(0, 5), masked.batches(0, 5), strict=True)):
        stored = FACES.read(plain.source.indices(step)).float() / 127.5 - 1
        same = torch.isclose(a.images, stored, atol=1e-5).flatten(1).all(1)
        mirrored = torch.isclose(a.images, stored.flip(-1), atol=1e-5).flatten(1).all(1)
        assert (same | mirrored).all()
        flips += int(mirrored.sum())
        assert (a.images != b.images).flatten(1).any(1).all()
        assert a.images.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(a.labels, FACES.labels[plain.source.indices(step)])
    assert 8 < flips < 32


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    batches = TrainingBatches(FacesSource(FACES, 999, 0), 0.2, 0, CPU)
    assert batches.steps_per_epoch == 1
    assert len(next(batches.batches(0, 1)).labels) == 40


def test_drawing_batches_leaves_the_global_rng_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    list(TrainingBatches(FacesSource(FACES, 8, 0), 0.5, 0, CPU).batches(0, 2))
    assert torch.equal(torch.rand(3), expected)


class Recorder(torch.nn.Module):
    """In place of masks: keeps the anchors that it gets."""

    def forward(self, images: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
        self.anchors = anchors
        return images


def test_anchors_move_with_the_image_that_is_flipped() -> None:
    """The left end of the jaw is on the left of the image again: sides are swapped, and coordinates mirrored."""
    batches = TrainingBatches(FacesSource(FACES, 8, 0), 1.0, 0, CPU)
    batches.mask = recorder = Recorder()  # type: ignore[assignment]
    seen = {False: 0, True: 0}
    for step in range(5):
        (batch,) = batches.batches(step, step + 1)
        read = batches.source.read(step)
        assert read.anchors is not None
        for image, anchors, pixels, stored in zip(
            batch.images, recorder.anchors, read.pixels, read.anchors, strict=True
        ):
            flipped = not torch.isclose(image, pixels.float() / 127.5 - 1, atol=1e-5).all()
            seen[flipped] += 1
            expected = 31 - stored[:, 0] if flipped else stored[:, 0]
            torch.testing.assert_close(anchors[:, 0].sort().values, expected.sort().values)
            assert int(anchors[:, 0].argmin()) == int(stored[:, 0].argmin())
            assert int(anchors[:, 0].argmax()) == int(stored[:, 0].argmax())
    assert min(seen.values()) > 8
