from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from autofr import AutofrError
from autofr.data.ijb import read_ijb
from autofr.detection.align import TEMPLATE


def test_reads_templates_and_aligns_faces(make_ijb: Callable[[Path], Path], tmp_path: Path) -> None:
    faces, templates = read_ijb(make_ijb(tmp_path / "ijb"))
    assert templates.template.tolist() == [0, 0, 1, 1, 2, 2]
    assert templates.media.tolist() == [0, 1, 2, 3, 4, 5]
    torch.testing.assert_close(templates.detector_scores, torch.tensor([0.90, 0.91, 0.92, 0.93, 0.94, 0.95]))
    assert (templates.first.tolist(), templates.second.tolist()) == ([0, 0, 1], [1, 2, 2])
    assert templates.same.tolist() == [True, False, False]
    pixels = faces.read(torch.tensor([0, 5]))
    assert pixels.shape == (2, 3, 112, 112)
    for image in pixels:
        for (x, y), channel in zip(TEMPLATE[:3].round().astype(int), range(3), strict=True):
            assert image[:, y, x].argmax() == channel  # each eye, and the nose, at its place
    torch.testing.assert_close(faces.landmarks[3], torch.from_numpy(TEMPLATE).float(), atol=1e-2, rtol=0)
    assert faces.anchors is not None


def test_missing_images_and_templates_are_counted(make_ijb: Callable[[Path], Path], tmp_path: Path) -> None:
    root = make_ijb(tmp_path / "ijb")
    (root / "loose_crop" / "3.jpg").unlink()
    with pytest.raises(AutofrError, match=r"1 of 6 images are missing \(3.jpg\): over 1%"):
        read_ijb(root)
    other = make_ijb(tmp_path / "more")
    lines = ["100 101 1", "100 102 0"] * 150 + ["100 999 0"]
    (other / "meta" / "ijbc_template_pair_label.txt").write_text("\n".join(lines))
    _, templates = read_ijb(other)
    assert len(templates.same) == 300
    assert templates.notes == ("1 of 301 pairs name a missing template (100 999): skipped",)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("ijbc_face_tid_mid.txt", "", "is empty"),
        ("ijbc_face_tid_mid.txt", "1.jpg 100\n", "line 1 has not 2 finite numbers"),
        ("ijbc_face_tid_mid.txt", "1.jpg 100 1\n", "do not list the same images"),
        ("ijbc_template_pair_label.txt", "100 101 2\n", "is 1 or 0"),
        ("ijbc_template_pair_label.txt", "100 x 1\n", "could not convert"),
        ("ijbc_template_pair_label.txt", "100 1.5 1\n", "could not convert"),
        ("ijbc_template_pair_label.txt", "100 101\n", "a line has 2 numbers"),
        ("ijbc_template_pair_label.txt", "", "is empty"),
        ("ijbc_name_5pts_score.txt", "1.jpg 1 2 3\n", "line 1 has not 11"),
    ],
)
def test_files_that_do_not_fit(
    name: str, text: str, told: str, make_ijb: Callable[[Path], Path], tmp_path: Path
) -> None:
    root = make_ijb(tmp_path / "ijb")
    (root / "meta" / name).write_text(text)
    with pytest.raises(AutofrError, match=told):
        read_ijb(root)


def test_negative_detector_scores_are_refused(make_ijb: Callable[[Path], Path], tmp_path: Path) -> None:
    root = make_ijb(tmp_path / "ijb")
    path = root / "meta" / "ijbc_name_5pts_score.txt"
    path.write_text(path.read_text().replace("0.95", "-0.95"))
    with pytest.raises(AutofrError, match="a detector score is negative"):
        read_ijb(root)


def test_the_metadata_have_a_hash(make_ijb: Callable[[Path], Path], tmp_path: Path) -> None:
    root = make_ijb(tmp_path / "ijb")
    before = read_ijb(root)[1].digest
    path = root / "meta" / "ijbc_template_pair_label.txt"
    path.write_text(path.read_text().replace("100 101 1", "100 101 0"))
    assert read_ijb(root)[1].digest != before


def test_no_set_there(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="should hold one meta/SET_face_tid_mid"):
        read_ijb(tmp_path)
