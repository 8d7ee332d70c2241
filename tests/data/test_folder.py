import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autofr import AutofrError
from autofr.data import load as load_module
from autofr.data import load_faces, scan_folder
from autofr.data.synthetic import TRAITS, face_geometry
from autofr.io import decoder
from autofr.masks.geometry import AWAY


def test_reads_identities_images_and_landmarks(folder: Path) -> None:
    faces = load_faces(scan_folder(folder), 48)
    assert len(faces) == 32
    assert faces.labels.tolist() == [i for i in range(8) for _ in range(4)]
    assert faces.identities[0] == "person_0000"
    stored = np.asarray(Image.open(folder / faces.names[5])).transpose(2, 0, 1)
    np.testing.assert_array_equal(faces.read(torch.tensor([5]))[0].numpy(), stored)
    with np.load(folder.with_name("faces_landmarks.npz")) as archive:
        np.testing.assert_allclose(faces.landmarks, archive["landmarks"], atol=1e-4)


def test_landmarks_follow_the_resize(folder: Path) -> None:
    small, large = load_faces(scan_folder(folder), 48).landmarks, load_faces(scan_folder(folder), 96).landmarks
    assert small is not None
    assert large is not None
    torch.testing.assert_close((small + 0.5) * 2, large + 0.5)


@pytest.mark.search
def test_pixels_that_do_not_fit_in_memory_are_read_from_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = load_faces(scan_folder(folder), 32)
    monkeypatch.setattr(load_module, "_free_memory", lambda: 0)
    lazy = load_faces(scan_folder(folder), 32)
    wanted = torch.tensor([7, 0, 31])
    assert torch.equal(lazy.read(wanted), cached.read(wanted))
    (folder / lazy.names[0]).unlink()
    with pytest.raises(AutofrError, match=r"no longer are: .*person_0000/000.png"):
        lazy.read(wanted)


def test_no_such_folder_and_no_images(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="no such folder"):
        scan_folder(tmp_path / "none")
    (tmp_path / "empty" / "identity").mkdir(parents=True)
    with pytest.raises(AutofrError, match="holds no images"):
        scan_folder(tmp_path / "empty")


def test_an_unreadable_image_is_named_skipped_and_counted(tmp_path: Path, make_folder: Callable[..., Path]) -> None:
    folder = make_folder(tmp_path / "many", identities=12)
    bad = folder / "person_0003" / "001.png"
    bad.write_bytes(bad.read_bytes()[:200])
    faces = load_faces(scan_folder(folder), 48)
    assert len(faces) == 47
    assert "person_0003/001.png" not in faces.names
    assert any("1 of 48 images cannot be read" in n.text and "person_0003/001.png" in n.text for n in faces.notes)
    for other in ("000", "002"):
        (folder / "person_0003" / f"{other}.png").write_bytes(b"no image")
    with pytest.raises(AutofrError, match=r"3 of 48 images cannot be read .*over 5%"):
        load_faces(scan_folder(folder), 48)


def test_a_decompression_bomb_is_not_decoded(folder: Path) -> None:
    for bomb in sorted(folder.glob("*/000.png")):
        raw = bytearray(bomb.read_bytes())
        raw[16:24] = (60_000).to_bytes(4, "big") * 2  # what its header claims
        raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
        bomb.write_bytes(raw)
    with pytest.raises(AutofrError, match=r"8 of 32 images cannot be read .*000.png: Image size"):
        load_faces(scan_folder(folder), 48)


def test_processes_that_decoded_a_set_in_memory_are_not_kept(folder: Path) -> None:
    load_faces(scan_folder(folder), 48)
    assert not decoder._idle


def test_an_identity_with_one_image_is_kept_and_told(folder: Path) -> None:
    for name in ("001", "002", "003"):
        (folder / "person_0002" / f"{name}.png").unlink()
    faces = load_faces(scan_folder(folder), 48)
    assert len(faces) == 29
    assert sum("1 identities have one image" in note.text for note in faces.notes) == 1


def test_images_without_landmarks_are_told(folder: Path) -> None:
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as archive:
        names, landmarks = archive["names"], archive["landmarks"].copy()
    landmarks[4, 3] = np.nan
    np.savez(path, names=names[:-1], landmarks=landmarks[:-1])
    faces = load_faces(scan_folder(folder), 48)
    assert faces.landmarks is not None
    assert faces.landmarks[[4, 31]].isnan().all()
    assert int(faces.landmarks[:, 0, 0].isnan().sum()) == 2
    assert any("2 of 32 images have no usable landmarks" in note.text for note in faces.notes)


def test_landmarks_that_name_none_of_the_images_are_refused(folder: Path) -> None:
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as archive:
        names, landmarks = archive["names"], archive["landmarks"]
    np.savez(path, names=np.char.add("faces/", names), landmarks=landmarks)
    with pytest.raises(
        AutofrError, match=r"names no image .*'faces/person_0000/000.png', the images are called 'person_0000"
    ):
        load_faces(scan_folder(folder), 48)


def test_named_landmarks_must_exist(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="no landmarks file"):
        scan_folder(folder, tmp_path / "other.npz")


def test_the_real_training_set(real_faces: Path) -> None:
    scan = scan_folder(real_faces / "train")
    assert len(scan.names) == 14664
    assert scan.landmarks == (real_faces / "train_landmarks.npz").resolve()


def test_faces_that_are_turned_away_are_told(folder: Path) -> None:
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as archive:
        names, landmarks = archive["names"], archive["landmarks"].copy()
    x, y, z = face_geometry(np.zeros(TRAITS), 0.0, 0.02).T
    away = np.radians(80)
    landmarks[3] = np.stack([x * np.cos(away) + z * np.sin(away), y], 1) * 16 + 24
    np.savez(path, names=names, landmarks=landmarks)
    faces = load_faces(scan_folder(folder), 48)
    assert any("1 of 32 images are turned too far away: never masked" in note.text for note in faces.notes)
    kinds = faces.placement()
    assert kinds is not None
    assert (kinds == AWAY).nonzero().flatten().tolist() == [3]
