from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autofr import images
from autofr.images import open_image, read_image


def test_reads_any_mode_as_rgb_and_resizes(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P", "1", "CMYK"):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (20, 10)).save(path)
        pixels, size = read_image(path, 8, 6)
        assert pixels.shape == (3, 6, 8)
        assert pixels.dtype == np.uint8
        assert size == (20, 10)


def test_photographs_are_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    assert open_image(tmp_path / "turned.png").size == (2, 3)


def test_what_is_no_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(OSError, match=r"text\.png"):
        open_image(tmp_path / "text.png")
    with pytest.raises(OSError, match=r"none\.png"):
        open_image(tmp_path / "none.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "big.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    with pytest.raises(OSError, match="claims 64x64 pixels"):
        open_image(tmp_path / "big.png")
