import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from autofr import AutofrError
from autofr.cli.evaluation_tables import print_latency
from autofr.detection import Face
from autofr.evaluation import latency
from autofr.evaluation.latency import LIMITS, measure_latency


class Slow:
    """A detector that takes 30 ms and always finds the same face."""

    name, scheme = "slow", "points5"

    def __init__(self, finds: bool = True) -> None:
        self.finds = finds

    def detect(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        time.sleep(0.03)
        five = np.array([[290, 220], [350, 220], [320, 250], [300, 280], [340, 280]], dtype=np.float32)
        return [Face(five, (250, 180, 390, 320), 1.0)] if self.finds else []


@pytest.mark.search
def test_each_stage_and_the_limits_it_meets(
    net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(latency, "create_detector", lambda name=None: Slow())
    monkeypatch.setattr(latency, "WARM_UP_SECONDS", 0.1)
    threads = torch.get_num_threads()
    found = measure_latency(net, repeats=5)
    assert torch.get_num_threads() == threads
    assert 1 in found["threads"]
    for measured in found["threads"].values():
        stages = measured["stages"]
        assert list(stages) == ["detection", "alignment", "recognition", "total"]
        assert stages["detection"]["median"] >= 30
        assert all(0 < stage["median"] <= stage["p95"] for stage in stages.values())
        assert stages["total"]["p95"] >= stages["detection"]["median"]
        assert measured["meets"] == [name for name, limit in LIMITS.items() if stages["total"]["p95"] <= limit]
    print_latency(found)
    text = capsys.readouterr().out
    assert "recognition" in text
    assert "FRUITS-1000" in text


@pytest.mark.search
def test_a_photograph_without_a_face_is_told(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    monkeypatch.setattr(latency, "create_detector", lambda name=None: Slow(finds=False))
    found = measure_latency(net, repeats=5)  # the drawn face has landmarks of its own
    assert found["found"] is False
    assert list(found["threads"][1]["stages"]) == ["detection", "alignment", "recognition", "total"]
    assert "does not take the drawn face for one" in logged[0]
    Image.new("RGB", (64, 64)).save(tmp_path / "grey.png")
    with pytest.raises(AutofrError, match=r"finds no face in .*grey\.png"):
        measure_latency(net, photo=tmp_path / "grey.png", repeats=5)


@pytest.mark.search
def test_without_a_detector_limits_cannot_be_said_to_be_met(
    net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], logged: list[str]
) -> None:
    asked: list[str] = []

    def none(name: str) -> None:
        asked.append(name)
        raise AutofrError("no landmark detector is installed")

    monkeypatch.setattr(latency, "create_detector", none)
    found = measure_latency(net, repeats=5, flip=True)
    assert list(found["threads"][1]["stages"]) == ["alignment", "recognition", "total"]
    assert logged[-1] == "no detector: detection is not timed"
    assert all(measured["meets"] == [] for measured in found["threads"].values())
    assert asked == ["dlib", "face-alignment"]
    print_latency(found)
    assert "FRUITS-1000 cannot be said" in capsys.readouterr().out
    with pytest.raises(AutofrError, match="no landmark detector"):
        measure_latency(net, detector="dlib", repeats=5)


def test_bad_input(net: Path, tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="5 calls or more"):
        measure_latency(net, repeats=4)
    (tmp_path / "p.jpg").write_bytes(b"no picture")
    with pytest.raises(AutofrError, match="cannot be read"):
        measure_latency(net, photo=tmp_path / "p.jpg")
    with pytest.raises(AutofrError, match="no photograph"):
        measure_latency(net, photo=tmp_path / "none.jpg")
    with pytest.raises(AutofrError, match="no run directory"):
        measure_latency(tmp_path)


@pytest.mark.search
@pytest.mark.slow
def test_a_real_detector_on_a_photograph(net: Path, real_faces: Path) -> None:
    pytest.importorskip("dlib")
    photo = sorted((real_faces / "raw_photos").glob("*/*"))[0]
    found = measure_latency(net, photo=photo, detector="dlib", repeats=5)
    with Image.open(photo) as image:
        assert found["photo"] == list(image.size)
    assert found["threads"][1]["stages"]["detection"]["median"] > 1
