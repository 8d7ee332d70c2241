import os
import threading
from collections.abc import Callable, Iterator

import pytest

from autofr import AutofrError
from autofr.system import thread_pool as threads
from autofr.system.thread_pool import in_background, in_parallel
from tests.processes import PATIENCE, wait_until


def test_in_parallel_does_all_and_raises_what_is_raised() -> None:
    done: set[int] = set()
    in_parallel(done.add, range(1000), str)
    assert done == set(range(1000))
    in_parallel(done.add, [], str)
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda place: 1 // (place - 500), range(1000), str)  # type: ignore[arg-type, return-value]


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """A call that hangs until the test ends. Only from then on are calls taken for stuck that take long."""
    for_ever = threading.Event()

    def wait() -> None:
        monkeypatch.setattr(threads, "STUCK", 0.1)
        for_ever.wait()

    yield wait
    for_ever.set()


def test_a_call_that_does_not_return_is_named(hang: Callable[[], None]) -> None:
    others: list[int] = []

    def work(place: int) -> None:
        if place == 3:
            wait_until(lambda: len(others) == 8)
            hang()
        others.append(place)

    with pytest.raises(AutofrError, match="reading image 3 has not returned for"):
        in_parallel(work, range(9), lambda place: f"image {place}")


def test_in_background() -> None:
    assert in_background(lambda: 3).result(PATIENCE) == 3
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0).result(PATIENCE)


def test_threads_are_used_again() -> None:
    in_background(lambda: None).result(PATIENCE)
    before, met = threading.active_count(), set()
    for _ in range(20):
        wait_until(lambda: bool(threads._idle))  # one that has answered may not yet be idle
        met.add(in_background(threading.get_ident).result(PATIENCE))
    assert len(met) <= before
    assert threading.active_count() <= before


def test_no_more_threads_than_asked_for() -> None:
    met: set[int] = set()
    together = threading.Barrier(2)

    def work(place: int) -> None:
        met.add(threading.get_ident())
        together.wait(PATIENCE)

    in_parallel(work, range(8), str, 2)
    assert len(met) == 2


def test_a_fork_does_not_wait_for_threads_that_it_does_not_have() -> None:
    in_background(lambda: None).result(PATIENCE)
    child = os.fork()
    if not child:  # pragma: no cover
        os._exit(0 if in_background(lambda: 3).result(PATIENCE) == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_was_raised_is_raised_although_another_call_hangs(hang: Callable[[], None]) -> None:
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda place: hang() if place else 1 // 0, range(2), str, 2)  # type: ignore[arg-type, return-value]


def test_the_others_stop_when_one_hangs(hang: Callable[[], None]) -> None:
    given_up, too_far, met = threading.Event(), threading.Event(), list[int]()

    def work(place: int) -> None:
        met.append(place)
        if place == 0:
            hang()
        elif place == 5:
            given_up.wait(PATIENCE)
        elif place > 5:
            too_far.set()

    with pytest.raises(AutofrError):
        in_parallel(work, range(10_000), str, 2)
    given_up.set()
    assert not too_far.wait(0.1)
    assert sorted(met) == list(range(6))
