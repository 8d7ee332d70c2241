"""The face-alignment detector with the library's own model classes; the weights are made here, not downloaded."""

from pathlib import Path

import numpy as np
import pytest
import torch

from autofr import AutofrError
from autofr.detection import create_detector
from autofr.detection.fan import cache, weights

face_alignment = pytest.importorskip("face_alignment")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    assert cache() == folder
    return folder


def make_weights(folder: Path) -> None:
    """Weights of the right shape. The finder's are set so that it sees a face at each place of its coarsest map."""
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    torch.manual_seed(0)
    finder, points = s3fd(), FAN(4)
    with torch.no_grad():
        for name, parameter in finder.named_parameters():
            if "mbox" in name:
                parameter.zero_()
        finder.fc7_mbox_conf.bias.copy_(torch.tensor([-4.0, 4.0]))
        for layer in (finder.conv3_3_norm_mbox_conf, finder.conv4_3_norm_mbox_conf, finder.conv5_3_norm_mbox_conf):
            layer.bias.copy_(torch.tensor([4.0] * (len(layer.bias) - 1) + [-4.0]))
        for layer in (finder.conv6_2_mbox_conf, finder.conv7_2_mbox_conf):
            layer.bias.copy_(torch.tensor([4.0, -4.0]))
    torch.save(finder.state_dict(), folder / weights()[0].rsplit("/", 1)[1])
    torch.save(points.state_dict(), folder / weights()[1].rsplit("/", 1)[1])


@pytest.mark.search
@pytest.mark.slow
def test_finds_points_by_the_librarys_own_networks(hub: Path) -> None:
    make_weights(hub)
    detector = create_detector("face-alignment")
    image = np.random.default_rng(0).integers(0, 255, (160, 160, 3), dtype=np.uint8)
    faces = detector.detect(image)
    assert faces
    assert detector.scheme == "ibug68"
    face = max(faces, key=lambda f: f.area)
    assert face.landmarks.shape == (68, 2)
    assert face.landmarks.dtype == np.float32
    assert np.isfinite(face.landmarks).all()
    assert 0 < face.score <= 1
    library = face_alignment.FaceAlignment(
        face_alignment.LandmarksType.TWO_D, device="cpu", flip_input=False, compile=False
    )
    (expected,) = library.get_landmarks_from_image(image, detected_faces=[[*face.box, face.score]])
    np.testing.assert_allclose(face.landmarks, expected, atol=1e-3)


def test_missing_weights_are_told_with_where_they_go(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(AutofrError) as told:
        create_detector("face-alignment")
    for part in (str(hub), *weights(), "no network", "--detector dlib"):
        assert part in str(told.value)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04broken"])
def test_broken_weights_are_told(hub: Path, content: bytes) -> None:
    for address in weights():
        (hub / address.rsplit("/", 1)[1]).write_bytes(content)
    with pytest.raises(AutofrError, match="cannot load its weights"):
        create_detector("face-alignment")


def test_detectors_that_are_not_installed_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AutofrError, match=r"autofr\[dlib\]"):
        create_detector("dlib")
    with pytest.raises(AutofrError, match=r"autofr\[landmarks\].*autofr\[dlib\]"):
        create_detector()
