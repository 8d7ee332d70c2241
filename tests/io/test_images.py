import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autofr.io import images
from autofr.io.images import decode_image, decode_into, decode_pixels, open_image, read_image


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


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10**6), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (2**31 - 1, 1), (8_001, 8_000), (12_000, 8_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_by_its_claim(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_claiming(width, height))
    with pytest.raises(OSError, match=r"bomb\.png"):
        open_image(tmp_path / "bomb.png")


def test_only_the_formats_of_the_suffixes_are_read(tmp_path: Path) -> None:
    """Pillow would hand PostScript to another program, whatever the file is called."""
    image = Image.new("RGB", (20, 10))
    for kind in ("EPS", "TIFF", "PPM", "GIF"):
        image.save(tmp_path / "face.jpg", kind)
        with pytest.raises(OSError, match="it is no image"):
            open_image(tmp_path / "face.jpg")
    for kind in ("JPEG", "PNG", "BMP", "WEBP"):
        image.save(tmp_path / "face.jpg", kind)
        assert open_image(tmp_path / "face.jpg").size == (20, 10)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "face.png")
    with pytest.raises(OSError, match="no regular file"):
        open_image(tmp_path / "face.png")


def jpeg(width: int, height: int, **save: Any) -> bytes:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
    out = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(out, "JPEG", **save)
    return out.getvalue()


@pytest.mark.parametrize(
    "save", [{}, {"progressive": True}, {"quality": 30}, {"subsampling": 0}, {"exif": b"Exif\x00\x00" + bytes(8)}]
)
def test_jpeg_is_what_pillow_decodes(save: dict[str, Any]) -> None:
    raw = jpeg(64, 48, **save)
    pixels, size = decode_pixels(raw, 64, 48, "a face")
    assert size == (64, 48)
    expected = np.asarray(Image.open(io.BytesIO(raw)).convert("RGB")).transpose(2, 0, 1)
    assert np.array_equal(pixels, expected)


def test_jpeg_is_turned_as_the_camera_was_held() -> None:
    exif = Image.Exif()
    exif[274] = 6
    raw = jpeg(64, 48, exif=exif)
    pixels, size = decode_pixels(raw, 48, 64, "a face")
    assert size == (48, 64)
    assert np.array_equal(pixels, np.asarray(decode_image(io.BytesIO(raw), "a face")).transpose(2, 0, 1))


def test_grey_and_other_formats_become_rgb() -> None:
    for mode, kind in (("L", "JPEG"), ("CMYK", "JPEG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "BMP"), ("RGB", "WEBP")):
        out = io.BytesIO()
        Image.new(mode, (20, 20), 90 if mode in ("L", "P") else None).save(out, kind)
        pixels, _ = decode_pixels(out.getvalue(), 20, 20, "a face")
        assert pixels.shape == (3, 20, 20)


@pytest.mark.parametrize("filled", [0, 1, 5])
def test_a_jpeg_that_claims_a_huge_size_is_not_decoded(filled: int) -> None:
    """Also where the way to its frame is obscured by bytes that decoders pass over."""
    raw = bytearray(jpeg(64, 48))
    frame = raw.index(b"\xff\xc0")
    raw[frame + 5 : frame + 9] = (65500).to_bytes(2, "big") * 2
    raw[2:2] = b"\xff" * filled
    with pytest.raises(OSError, match=r"a face: .*4290250000 pixels"):
        decode_pixels(bytes(raw), 64, 48, "a face")


@pytest.mark.parametrize("kept", [2, 20, 300, 0.5, 0.9])
def test_a_jpeg_that_is_cut_short(kept: float) -> None:
    raw = jpeg(64, 48)
    with pytest.raises(OSError, match="a face: "):
        decode_pixels(raw[: int(kept * len(raw)) if kept < 1 else int(kept)], 64, 48, "a face")


@pytest.mark.parametrize("size", [(64, 48), (20, 30)])
@pytest.mark.parametrize("order", ["pixel by pixel", "colour by colour", "a part of more"])
def test_decoding_into_memory_of_any_order(size: tuple[int, int], order: str) -> None:
    width, height = size
    raw = jpeg(64, 48)
    if order == "colour by colour":
        pixels = np.zeros((3, height, width), np.uint8)
    elif order == "pixel by pixel":
        pixels = np.zeros((height, width, 3), np.uint8).transpose(2, 0, 1)
    else:
        pixels = np.zeros((height, 2 * width, 3), np.uint8)[:, ::2].transpose(2, 0, 1)
    assert decode_into(raw, pixels, "a face") == (64, 48)
    assert np.array_equal(pixels, decode_pixels(raw, width, height, "a face")[0])
    expected = Image.open(io.BytesIO(raw)).convert("RGB")
    expected = expected if size == (64, 48) else expected.resize(size, Image.Resampling.BILINEAR)
    assert np.array_equal(pixels, np.asarray(expected).transpose(2, 0, 1))


def test_a_jpeg_with_stray_bytes_is_read_all_the_same() -> None:
    """Decoders warn of them; cameras write them."""
    raw = jpeg(64, 48)
    stray = raw[:-2] + b"\x00\x00\x01" + raw[-2:]
    assert np.array_equal(decode_pixels(stray, 64, 48, "a face")[0], decode_pixels(raw, 64, 48, "a face")[0])


def test_a_jpeg_over_the_limit_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(OSError, match="a face: claims 64x48 pixels"):
        decode_pixels(jpeg(64, 48), 64, 48, "a face")
