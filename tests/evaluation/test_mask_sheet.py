from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autofr import AutofrError
from autofr.data import Faces
from autofr.evaluation.mask_sheet import draw_sheet, mask_sheet


def test_a_set_is_drawn_above_its_masked_copies(tiny_faces: Faces, tmp_path: Path) -> None:
    mask_sheet(tiny_faces, tmp_path / "sheet.png", columns=4, rows=2)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (4 * 32 * 4, 4 * 32 * 4, 3)  # two rows of pairs, faces of 32 pixels four times as large
    first = tiny_faces.read(torch.tensor([0]))[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(sheet[:128:4, :128:4], first)
    assert (sheet[128:256, :128] != sheet[:128, :128]).any()


def test_a_folder_with_landmarks_beside_it(folder: Path, tmp_path: Path) -> None:
    sheet = draw_sheet(folder, tmp_path / "out" / "sheet.png", faces=6, columns=3, size=64)
    assert sheet.faces == 6
    assert sum(sheet.placed.values()) == 6
    assert sheet.placed["masked"] >= 4
    picture = np.asarray(Image.open(sheet.path))
    assert picture.shape == (4 * 64 * 2, 3 * 64 * 2, 3)
    assert (picture[128:256] != picture[:128]).any()
    again = draw_sheet(folder, tmp_path / "again.png", faces=6, columns=3, size=64)
    assert again.path.read_bytes() == sheet.path.read_bytes()
    other = draw_sheet(folder, tmp_path / "other.png", faces=6, columns=3, size=64, seed=1)
    assert other.path.read_bytes() != sheet.path.read_bytes()


def test_one_image_by_its_folders_landmarks(folder: Path, tmp_path: Path) -> None:
    image = next(folder.glob("*/*.png"))
    npz = folder.with_name("faces_landmarks.npz")
    sheet = draw_sheet(image, tmp_path / "one.jpg", landmarks=npz, material="cup", coverage="full")
    assert sheet.faces == 1
    assert Image.open(sheet.path).size == (112, 224)
    elsewhere = tmp_path / "elsewhere.png"
    Image.open(image).save(elsewhere)
    with pytest.raises(AutofrError, match="does not name"):
        draw_sheet(elsewhere, tmp_path / "two.png", landmarks=npz)


def test_images_without_landmarks_stay_bare_and_are_counted(folder: Path, tmp_path: Path) -> None:
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as archive:
        names, landmarks = archive["names"], archive["landmarks"].copy()
    landmarks[0] = np.nan
    np.savez(path, names=names[:-1], landmarks=landmarks[:-1])
    sheet = draw_sheet(folder, tmp_path / "sheet.png", faces=32)
    assert sheet.placed["without landmarks"] == 2


def test_bad_input_is_told_and_nothing_written(folder: Path, tmp_path: Path) -> None:
    before = sorted(p.name for p in tmp_path.iterdir())
    (bad := tmp_path / "bad").mkdir()
    for source, output, settings, message in (
        (tmp_path / "none", "x.png", {}, "no such image or folder"),
        (bad, "x.png", {}, "holds no images"),
        (folder, "x.gif", {}, "should end in one of"),
        (folder, "x.png", {"faces": 100_000, "columns": 4}, "larger than 16000 pixels"),
        (folder, "x.png", {"landmarks": tmp_path / "none.npz", "detector": "dlib"}, "exclude each other"),
        (folder, "x.png", {"faces": 0}, "1 face"),
        (folder, "x.png", {"size": 4000}, "16 to 1024"),
        (folder, "x.png", {"material": "silk"}, "unknown material silk"),
        (folder, "x.png", {"material": "user"}, "needs a folder of textures"),
        (folder, "x.png", {"coverage": "ears"}, "unknown coverage ears"),
        (folder, "x.png", {"detector": "hog"}, "unknown detector"),
        (folder, "x.png", {"landmarks": tmp_path / "none.npz"}, "no landmarks file"),
    ):
        with pytest.raises(AutofrError, match=message):
            draw_sheet(source, tmp_path / output, **settings)
    bad.rmdir()
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_the_photograph_itself_is_not_overwritten(folder: Path) -> None:
    image = next(folder.glob("*/*.png"))
    before = image.read_bytes()
    with pytest.raises(AutofrError, match="the image itself"):
        draw_sheet(image, image, landmarks=folder.with_name("faces_landmarks.npz"))
    assert image.read_bytes() == before


def test_landmarks_of_other_images_are_refused(folder: Path, tmp_path: Path) -> None:
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as archive:
        names, landmarks = archive["names"], archive["landmarks"]
    np.savez(path, names=np.char.add("x/", names), landmarks=landmarks)
    with pytest.raises(AutofrError, match="name no image"):
        draw_sheet(folder, tmp_path / "sheet.png")


@pytest.mark.search
@pytest.mark.slow
def test_photographs_are_found_cut_out_and_masked(real_faces: Path, tmp_path: Path) -> None:
    pytest.importorskip("dlib")
    sheet = draw_sheet(real_faces / "raw_photos", tmp_path / "sheet.png", detector="dlib", faces=12)
    assert sheet.placed["masked"] >= 9
    assert Image.open(sheet.path).size == (8 * 112, 4 * 112)
