import os
import threading
import time

import pytest

from autofr import AutofrError
from autofr.system import thread_pool as threads
from autofr.system.thread_pool import in_background, in_parallel


def test_in_parallel_does_all_and_raises_what_is_raised() -> None:
    done: set[int] = set()
    in_parallel(done.add, range(1000), str)
    assert done == set(range(1000))
    in_parallel(done.add, [], str)
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda place: 1 // (place - 500), range(1000), str)  # type: ignore[arg-type, return-value]


def test_a_call_that_does_not_return_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STUCK", 0.3)
    for_ever = threading.Event()
    with pytest.raises(AutofrError, match="reading image 3 has not returned for"):
        in_parallel(lambda place: for_ever.wait() and None if place == 3 else None, range(9), lambda p: f"image {p}")
    for_ever.set()


def test_in_background() -> None:
    assert in_background(lambda: 3).result(5) == 3
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0).result(5)


def test_threads_are_used_again() -> None:
    for _ in range(20):
        in_background(lambda: None).result(5)
    before = threading.active_count()
    met = {in_background(threading.get_ident).result(5) for _ in range(20)}
    assert len(met) <= 2  # one that has answered may not yet be idle
    assert threading.active_count() <= before + 1


def test_no_more_threads_than_asked_for() -> None:
    met: set[int] = set()
    together = threading.Barrier(2)

    def work(place: int) -> None:
        met.add(threading.get_ident())
        together.wait(5)

    in_parallel(work, range(8), str, 2)
    assert len(met) == 2


def test_a_fork_does_not_wait_for_threads_that_it_does_not_have() -> None:
    in_background(lambda: None).result(5)
    child = os.fork()
    if not child:  # pragma: no cover
        os._exit(0 if in_background(lambda: 3).result(5) == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_what_was_raised_is_raised_although_another_call_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STUCK", 0.3)
    for_ever = threading.Event()
    with pytest.raises(ZeroDivisionError):
        in_parallel(lambda place: for_ever.wait() and None if place else 1 // 0, range(2), str, 2)
    for_ever.set()


def test_the_others_stop_when_one_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STUCK", 0.3)
    for_ever, met = threading.Event(), []

    def work(place: int) -> None:
        met.append(place)
        for_ever.wait() if not place else time.sleep(0.01)

    with pytest.raises(AutofrError):
        in_parallel(work, range(10_000), str, 2)
    time.sleep(0.05)
    before = len(met)
    time.sleep(0.1)
    assert len(met) <= before + 1  # it may have been on its way
    for_ever.set()
