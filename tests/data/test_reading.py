"""A disk that fails while it is read: by real files, pipes and processes."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import autofr
from autofr import AutofrError
from autofr.data import Faces, load_faces, loader, reading, scan_folder
from autofr.data.loader import TrainingBatches
from autofr.data.reading import UnreadableImagesError, disk_reader
from autofr.data.sources import FacesSource
from autofr.losses import ArcFace

CPU = torch.device("cpu")


class Clock:
    """What reading takes for the time: a pause passes at once. Things happen when it comes to them."""

    def __init__(self) -> None:
        self.now, self._coming = 0.0, list[tuple[float, Callable[[], object]]]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at, happen in self._coming:
            if at <= self.now:
                happen()
        self._coming = [(at, happen) for at, happen in self._coming if at > self.now]

    def after(self, seconds: float, happen: Callable[[], object]) -> None:
        """Have something happen in a pause that goes beyond so many seconds."""
        self._coming.append((self.now + seconds, happen))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reading, "time", made)
    return made


@pytest.fixture
def many(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    """A face folder of 60 images."""
    return make_folder(tmp_path / "many", identities=12, images=5, size=32)


@pytest.fixture
def uncached(many: Path, monkeypatch: pytest.MonkeyPatch) -> Faces:
    """Its faces, read from disk whenever they are asked for."""
    monkeypatch.setattr("autofr.data.load.CACHE_SHARE", 0.0)
    return load_faces(scan_folder(many), 32)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("how", ["vanished", "truncated", "a pipe"])
def test_an_image_that_goes_bad_is_named_and_stood_in_for(
    how: str, uncached: Faces, many: Path, logged: list[str]
) -> None:
    bad = many / uncached.names[7]
    content = bad.read_bytes()
    bad.unlink()
    if how == "truncated":
        bad.write_bytes(content[: len(content) // 2])
    elif how == "a pipe":
        os.mkfifo(bad)
    with pytest.raises(UnreadableImagesError, match=str(bad)) as caught:
        uncached.read(torch.tensor([3, 7, 9]))
    assert caught.value.places == [1]
    batches = TrainingBatches(FacesSource(uncached, 10, 0), 0.0, 0, CPU)
    places = [place for step in range(6) for place in batches.source.indices(step).tolist()]
    met = list(batches.batches(0, 12))
    assert len(logged) == 1
    assert str(bad) in logged[0]
    assert "other images of the same identities stand in" in logged[0]
    labels = torch.cat([batch.labels for batch in met[:6]])
    assert torch.equal(labels, uncached.labels[places])  # identities and their shares stay as they were
    assert batches.source._instead.keys() == {7}
    assert uncached.labels[batches.source._instead[7]] == uncached.labels[7]


@pytest.mark.usefixtures("clock")
def test_the_images_of_a_subset_are_named_right(uncached: Faces, many: Path, logged: list[str]) -> None:
    part = uncached.subset(torch.arange(20, 60))
    (many / part.names[5]).unlink()
    batches = TrainingBatches(FacesSource(part, 40, 0), 0.0, 0, CPU)
    list(batches.batches(0, 2))
    assert part.names[5] in logged[0]
    assert batches.source._instead.keys() == {5}


@pytest.mark.usefixtures("clock")
def test_too_many_bad_images_end_it_with_a_name(uncached: Faces, many: Path) -> None:
    for name in uncached.names[7:11]:
        (many / name).unlink()
    batches = TrainingBatches(FacesSource(uncached, 60, 0), 0.0, 0, CPU)
    with pytest.raises(AutofrError, match=f"4 images that were readable at the start no longer are: {many}/"):
        list(batches.batches(0, 2))


def test_an_image_that_comes_back_is_not_lost(uncached: Faces, many: Path, clock: Clock) -> None:
    expected = uncached.read(torch.tensor([7, 3]))
    bad = many / uncached.names[7]
    hidden = bad.with_suffix(".hidden")
    bad.rename(hidden)
    clock.after(reading.BRIEFLY / 2, lambda: hidden.rename(bad))
    assert torch.equal(uncached.read(torch.tensor([7, 3])), expected)


def test_a_folder_that_is_away_for_a_while_is_waited_for(uncached: Faces, many: Path, clock: Clock) -> None:
    wanted = torch.arange(60)
    expected = uncached.read(wanted)
    away = many.with_name("away")
    many.rename(away)
    clock.after(reading.PATIENCE / 2, lambda: away.rename(many))
    assert torch.equal(uncached.read(wanted), expected)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("how", ["gone", "empty"])
def test_a_folder_that_stays_away_ends_it(how: str, uncached: Faces, many: Path) -> None:
    """``empty`` is what is left of a file system that was unmounted."""
    shutil.rmtree(many)
    if how == "empty":
        many.mkdir()
    with pytest.raises(AutofrError, match=rf"3 of 3 images cannot be read .*is {many} away\? Bring it back"):
        uncached.read(torch.arange(3))


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A call that hangs until the test ends. Batches are asked for once the one before has been read or hangs, and only
    then is there little patience."""
    hangs, for_ever = threading.Event(), threading.Event()
    original = loader.in_background

    def in_background(work: Callable[[], Any]) -> Any:
        future = original(work)
        while not future.done() and not hangs.is_set():
            time.sleep(0.001)
        return future

    def wait() -> None:
        monkeypatch.setattr(loader, "WATCHDOG", 0.2)
        hangs.set()
        for_ever.wait()

    monkeypatch.setattr(loader, "in_background", in_background)
    yield wait
    for_ever.set()


def test_a_source_that_hangs_is_given_up_and_named(tiny_faces: Faces, hang: Callable[[], None]) -> None:
    def read(wanted: Tensor) -> Tensor:
        if 7 in wanted.tolist():
            hang()
        return tiny_faces.read(wanted)

    batches = TrainingBatches(FacesSource(replace(tiny_faces, read=read), 8, 0), 0.0, 0, CPU)
    with pytest.raises(
        AutofrError, match=r"reading the batch of step \d \(.*/.*, \.\.\.\) from synthetic has not returned"
    ):
        list(batches.batches(0, 6))


@pytest.mark.slow
def test_a_worker_process_that_is_killed_is_told(tiny_faces: Faces) -> None:
    """autofr reads in threads; a source of a user's own may have workers."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        worker = pool.submit(os.getpid).result()

        def read(wanted: Tensor) -> Tensor:
            if 7 in wanted.tolist():
                asked = pool.submit(time.sleep, 60)
                os.kill(worker, signal.SIGKILL)
                asked.result()
            return tiny_faces.read(wanted)

        batches = TrainingBatches(FacesSource(replace(tiny_faces, read=read), 8, 0), 0.0, 0, CPU)
        with pytest.raises(
            AutofrError, match=r"the batch of step \d \(.*/.*\) from synthetic failed: BrokenProcessPool"
        ):
            list(batches.batches(0, 6))


HANGING = """
import sys, threading
from dataclasses import replace
import autofr
from autofr.data import loader, synthetic_faces
faces, hangs, in_background = synthetic_faces(12, 4, 32), threading.Event(), loader.in_background
def read(wanted):
    if sys.argv[2:] and len(wanted) == 8:
        loader.WATCHDOG = 1.0
        hangs.set()
        threading.Event().wait()
    return faces.read(wanted)
def begun(work):
    future = in_background(work)
    while not future.done() and not hangs.wait(0.01):
        pass
    return future
loader.in_background = begun
autofr.train("arcface:0.3", replace(faces, read=read), run_dir=sys.argv[1], epochs=1, batch_size=8, fmr=0.1,
             backbone="ir_mini-w0.25", validation_identities=4, device="cpu", tracking=False)
"""


@pytest.mark.search
@pytest.mark.slow
def test_a_process_whose_reader_hangs_ends(tmp_path: Path) -> None:
    """The thread that waits for ever must not keep the process."""
    command = [sys.executable, "-c", HANGING, str(tmp_path / "run"), "hang"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "has not returned for 1 s" in done.stderr.splitlines()[-1]
    assert "0 of 1 generations are committed" in done.stdout


@pytest.mark.search
@pytest.mark.usefixtures("clock")
def test_a_search_whose_data_goes_bad_is_resumed_when_it_is_back(
    many: Path,
    tiny: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    same_outcome: Callable[[Path, Path], bool],
) -> None:
    monkeypatch.setattr("autofr.data.load.CACHE_SHARE", 0.0)
    asked = tiny | {"image_size": 32}
    autofr.train(ArcFace(0.3), many, run_dir=tmp_path / "whole", **asked)
    away = many.with_name("away")

    def leave(record: Any) -> None:
        if record.generation == 1:
            many.rename(away)

    with pytest.raises(AutofrError, match="Bring it back"):
        autofr.train(ArcFace(0.3), many, run_dir=tmp_path / "run", watch=leave, **asked)
    away.rename(many)
    autofr.train(ArcFace(0.3), many, run_dir=tmp_path / "run", resume=True, **asked)
    assert same_outcome(tmp_path / "whole", tmp_path / "run")


def test_what_the_disk_reader_reads_is_what_is_there(many: Path) -> None:
    scan = scan_folder(many)
    cached = load_faces(scan, 32)
    read = disk_reader(scan, np.arange(60), 32)
    wanted = torch.tensor([5, 3, 3, 59])
    assert torch.equal(read(wanted), cached.read(wanted))
