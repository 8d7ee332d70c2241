import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autofr import AutofrError
from autofr.data import load_faces, scan_folder
from autofr.detection import Face, find_landmarks
from autofr.detection.align import TEMPLATE
from tests.processes import wait_until


class ByColour:
    """A detector for tests: a face wherever a photograph is not black, with landmarks at known places."""

    name, scheme = "by-colour", "points5"

    def __init__(self) -> None:
        self.seen = 0

    def detect(self, image: np.ndarray) -> list[Face]:
        self.seen += 1
        level = int(image.max())
        if level == 0:
            return []
        points = (TEMPLATE * 2 + 10).astype(np.float32)
        faces = [Face(points, (0, 0, 100, 100), 0.9)]
        if level > 200:
            faces.insert(0, Face(points + 500, (0, 0, 10, 10), 2.0))
        return faces


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name, level in (("a/1.png", 90), ("a/2.jpg", 120), ("b/deep/3.png", 0), ("b/4.png", 255), ("5.webp", 60)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (260, 280), (level, level, level)).save(root / name)
    (root / "a" / "6.png").write_text("no image")
    (root / "notes.txt").write_text("no image either")
    return root


def test_writes_what_the_reader_reads(photos: Path, tmp_path: Path) -> None:
    found = find_landmarks(photos, tmp_path / "out.npz", detector=ByColour(), progress=False)
    assert (found.images, found.detected, found.several) == (6, 4, 1)
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        names = archive["names"].tolist()
        assert names == ["5.webp", "a/1.png", "a/2.jpg", "a/6.png", "b/4.png", "b/deep/3.png"]
        assert archive["detected"].tolist() == [True, True, True, False, True, False]
        assert str(archive["scheme"]) == "points5"
        np.testing.assert_allclose(archive["landmarks"][1], TEMPLATE * 2 + 10, atol=1e-3)
        assert np.isnan(archive["landmarks"][3]).all()
        assert archive["scores"][4] == np.float32(0.9)  # the larger of two faces
    assert found.report == tmp_path / "out_misses.csv"
    with found.report.open() as file:
        misses = list(csv.reader(file))
    assert misses[0] == ["name", "reason"]
    assert [row[0] for row in misses[1:]] == ["a/6.png", "b/deep/3.png"]
    assert "cannot be read" in misses[1][1]
    assert misses[2][1] == "no face found"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.npz", "out_misses.csv", "photos"]


def test_aligned_faces_are_a_data_set(photos: Path, tmp_path: Path) -> None:
    (photos / "5.webp").unlink()
    found = find_landmarks(
        photos, tmp_path / "faces_landmarks.npz", align=tmp_path / "faces", detector=ByColour(), progress=False
    )
    assert found.detected == 3
    with Image.open(tmp_path / "faces/a/2.jpg") as image:
        assert image.size == (112, 112)
        assert image.format == "JPEG"
    faces = load_faces(scan_folder(tmp_path / "faces"), 112)
    assert faces.landmarks is not None
    np.testing.assert_allclose(faces.landmarks[0], TEMPLATE, atol=1e-2)
    assert not (tmp_path / "faces/b/deep/3.png").exists()


def test_a_run_that_was_stopped_goes_on(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ByColour()
    real, calls = ByColour.detect, iter(range(100))

    def stop(self: ByColour, image: np.ndarray) -> list[Face]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return real(self, image)

    monkeypatch.setattr(ByColour, "detect", stop)
    with pytest.raises(KeyboardInterrupt):
        find_landmarks(photos, tmp_path / "out.npz", detector=first, progress=False)
    notes = tmp_path / "out.npz.partial"
    assert notes.exists()
    assert not (tmp_path / "out.npz").exists()
    with notes.open("a") as file:  # cut short in the middle of a line
        file.write('{"name": "b/4.png", "landm')
    monkeypatch.setattr(ByColour, "detect", real)
    second = ByColour()
    find_landmarks(photos, tmp_path / "out.npz", detector=second, progress=False)
    assert first.seen + second.seen == 5
    assert not notes.exists()
    find_landmarks(photos, tmp_path / "whole.npz", detector=ByColour(), progress=False)
    with np.load(tmp_path / "out.npz") as one, np.load(tmp_path / "whole.npz") as other:
        for key in other:
            np.testing.assert_array_equal(one[key], other[key])


def test_notes_of_another_run_are_not_taken(photos: Path, tmp_path: Path) -> None:
    for text in ('{"format": 1, "folder": "elsewhere"}\n', "nonsense\n"):
        (tmp_path / "out.npz.partial").write_text(text)
        with pytest.raises(AutofrError, match="left by another run"):
            find_landmarks(photos, tmp_path / "out.npz", detector=ByColour(), progress=False)
        assert (tmp_path / "out.npz.partial").read_text() == text


@pytest.mark.parametrize("begun", ["", '{"format": 1, "fol'])
def test_a_run_that_was_stopped_in_its_first_line_starts_anew(photos: Path, tmp_path: Path, begun: str) -> None:
    (tmp_path / "out.npz.partial").write_text(begun)
    assert find_landmarks(photos, tmp_path / "out.npz", detector=ByColour(), progress=False).detected == 4
    assert not (tmp_path / "out.npz.partial").exists()


def test_a_folder_without_any_face_is_told(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match=r"no face found in any of 1 images.*out_misses\.csv"):
        find_landmarks(photos / "b" / "deep", tmp_path / "out.npz", detector=ByColour(), progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out_misses.csv", "photos"]


def test_a_detector_that_fails_on_an_image_misses_it(photos: Path, tmp_path: Path) -> None:
    class Fails(ByColour):
        def detect(self, image: np.ndarray) -> list[Face]:
            if image.max() == 90:
                raise RuntimeError("broken")
            if image.max() < 80 and image.max() > 0:
                return [Face(np.full((5, 2), np.nan, np.float32), (0, 0, 9, 9), 1.0)]
            return super().detect(image)

    found = find_landmarks(photos, tmp_path / "out.npz", detector=Fails(), progress=False)
    assert ("a/1.png", "the detector failed: broken") in found.misses
    assert ("5.webp", "no face found") in found.misses


def test_bad_input_is_told_before_anything_is_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "old.npz").write_text("kept")
    before = sorted(p.name for p in tmp_path.iterdir())
    for folder, output, more, message in (
        (tmp_path / "none", "x.npz", {}, "no such folder"),
        (photos, "x.txt", {}, "should end in .npz"),
        (photos, "old.npz", {}, "exists; remove it"),
        (photos, "x.npz", {"align": photos}, "lies among the photographs"),
        (photos, "x.npz", {"align": photos / "cut"}, "lies among the photographs"),
        (photos / "b" / "deep", "x.npz", {"detector": "hog"}, "unknown detector 'hog'"),
    ):
        with pytest.raises(AutofrError, match=message):
            find_landmarks(folder, tmp_path / output, **{"detector": ByColour(), "progress": False, **more})
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert (tmp_path / "old.npz").read_text() == "kept"


@pytest.mark.search
@pytest.mark.slow
def test_dlib_on_photographs(real_faces: Path, tmp_path: Path) -> None:
    """The real detector on whole photographs: found, and eyes, nose and mouth at the template's places."""
    pytest.importorskip("dlib")
    found = find_landmarks(
        real_faces / "raw_photos", tmp_path / "f_landmarks.npz", align=tmp_path / "f", detector="dlib", progress=False
    )
    assert found.images == 48
    assert found.detected >= 44
    faces = load_faces(scan_folder(tmp_path / "f"), 112)
    assert faces.anchors is not None
    assert faces.landmarks is not None
    eyes = faces.landmarks[:, 36:48].mean(1)
    assert (eyes - 53).abs().mean() < 4
    kinds = faces.placement()
    assert kinds is not None
    assert (kinds > 1).float().mean() > 0.9


@pytest.mark.search
@pytest.mark.slow
def test_a_killed_process_goes_on(real_faces: Path, tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    command = [sys.executable, "-m", "autofr", "landmarks", str(real_faces / "raw_photos"), "--detector", "dlib"]
    command += ["-o", str(tmp_path / "f.npz"), "--align", str(tmp_path / "f")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    notes = tmp_path / "f.npz.partial"
    wait_until(lambda: process.poll() is not None or (notes.exists() and notes.read_text().count("\n") > 10))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert notes.exists()
    kept = notes.read_text().splitlines()[1:11]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "going on after" in done.stdout
    assert "48 images: 45 with a face, 3 missed" in done.stdout
    with np.load(tmp_path / "f.npz") as archive:
        rows = dict(zip(archive["names"].tolist(), archive["landmarks"], strict=True))
    for line in kept:
        record = json.loads(line)
        if "landmarks" in record:
            np.testing.assert_allclose(rows[record["name"]], record["landmarks"], atol=1e-3)
