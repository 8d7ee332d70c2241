"""Decoding in other processes: what they are killed or stopped for, and that nothing else is different."""

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from autofr import AutofrError
from autofr.io import decoder
from autofr.io.decoder import FEW, PART, decode
from autofr.io.image_source import ImageFile
from autofr.io.images import read_image
from autofr.system import thread_pool as threads
from autofr.system.remote_object import Worker
from autofr.system.thread_pool import in_background
from autofr.system.torchrun import cores

COUNT = 3 * FEW


@pytest.fixture
def images(tmp_path: Path) -> list[ImageFile]:
    """More than a few, of several sizes and forms."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(COUNT):
        path = tmp_path / f"{i}.{'png' if i % 5 == 0 else 'jpg'}"
        height, width = (20, 20) if i % 3 else (24, 30)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        found.append(ImageFile(str(path)))
    return found


@pytest.fixture(autouse=True)
def none_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "_idle", [])
    monkeypatch.setattr(decoder, "_places", [threading.Semaphore(cores() + decoder.WAITING)])


@pytest.mark.parametrize("count", [0, 1, FEW - 1, FEW, COUNT])
@pytest.mark.parametrize("more", [0, 4])
def test_it_is_what_is_decoded_here(images: list[ImageFile], count: int, more: int) -> None:
    pixels, sizes, reasons = decode(images[:count], 20, more)
    assert pixels.shape == (count, 3, 20, 20)
    assert not reasons
    for place, image in enumerate(images[:count]):
        expected, size = read_image(Path(image.name), 20, 20)
        assert np.array_equal(pixels[place], expected)
        assert tuple(sizes[place]) == size
    assert bool(decoder._idle) == (count >= FEW)


def test_sizes_that_grow_and_shrink(images: list[ImageFile]) -> None:
    for size in (8, 40, 16):
        pixels, _, _ = decode(images, size)
        assert np.array_equal(pixels[7], read_image(Path(images[7].name), size, size)[0])


def test_what_cannot_be_decoded_is_named_by_place(images: list[ImageFile]) -> None:
    Path(images[3].name).unlink()
    Path(images[COUNT - 1].name).write_bytes(b"no image")
    _, sizes, reasons = decode(images, 20)
    assert sorted(reasons) == [3, COUNT - 1]
    assert all(images[place].name in told for place, told in reasons.items())
    assert sizes[3].tolist() == [1, 1]


def test_a_process_that_was_killed_is_replaced(images: list[ImageFile]) -> None:
    expected, _, _ = decode(images, 20)
    for process in decoder._idle:
        os.kill(process.there.pid, signal.SIGKILL)
    pixels, _, reasons = decode(images, 20)
    assert not reasons
    assert np.array_equal(pixels, expected)


def test_processes_that_are_killed_again_and_again(images: list[ImageFile], monkeypatch: pytest.MonkeyPatch) -> None:
    class Doomed(Worker):
        def call(self, method: str, *arguments: Any, patience: float | None = None) -> Any:
            os.kill(self.pid, signal.SIGKILL)
            return super().call(method, *arguments, patience=patience)

    monkeypatch.setattr(decoder, "Worker", Doomed)
    with pytest.raises(AutofrError, match=r"decoding .*g: process \d+ ended with status -9, twice"):
        decode(images, 20)


def test_a_read_that_hangs_is_named(images: list[ImageFile], monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is stopped hangs as one does that waits for a disk."""
    decode(images, 20)
    monkeypatch.setattr(threads, "STUCK", 0.3)
    pids = [process.there.pid for process in decoder._idle]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(AutofrError, match=r"reading .*/\d+\.(png|jpg) has not returned for"):
        decode(images, 20)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_more_killed_processes_than_are_used(images: list[ImageFile]) -> None:
    """Each that is found dead is replaced by a new one, not by another that may be dead too."""
    expected, _, _ = decode(images, 20, 4)
    assert len(decoder._idle) >= 3
    for process in decoder._idle:
        os.kill(process.there.pid, signal.SIGKILL)
    for _ in range(3):
        assert np.array_equal(decode(images, 20, 0)[0], expected)


def test_idle_processes_do_not_pile_up(images: list[ImageFile]) -> None:
    for running in [in_background(lambda: decode(images, 20)) for _ in range(20)]:
        running.result()
    assert len(decoder._idle) <= cores() + decoder.WAITING


def test_where_the_last_call_ended_is_not_where_this_one_is(
    images: list[ImageFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode(images, 20)
    pids = [process.there.pid for process in decoder._idle]
    monkeypatch.setattr(threads, "STUCK", 0.3)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    first = "|".join(re.escape(images[place].name) for place in range(0, FEW, PART))
    with pytest.raises(AutofrError, match=rf"reading ({first}) has not returned for"):
        decode(images[:FEW], 20)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_images_of_a_class_of_ones_own(images: list[ImageFile]) -> None:
    """One that no other process can know."""

    class Own(NamedTuple):
        name: str

        def read(self) -> bytes:
            return Path(self.name).read_bytes()

    own = [Own(image.name) for image in images]
    assert np.array_equal(decode(own, 20)[0], decode(images, 20)[0])
