"""RecordIO files: one of MXNet's own writer where it is, and files written here, word by word."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import autofr
from autofr import AutofrError
from autofr.data import load_faces, scan, scan_records
from autofr.data.recordio import MAX_RECORD
from autofr.io.decoder import room
from autofr.io.image_source import MAGIC
from autofr.io.images import decode_into

WORD = struct.pack("<I", MAGIC)


def png(colour: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 40), (colour, 10, 200)).save(out, "PNG")
    return out.getvalue()


def part(content: bytes, kind: int = 0) -> bytes:
    return WORD + struct.pack("<I", kind << 29 | len(content)) + content + bytes(-len(content) % 4)


def content(image: bytes, label: float, labels: tuple[float, ...] = (), flag: int | None = None) -> bytes:
    header = struct.pack("<IfQQ", len(labels) if flag is None else flag, label, 1, 0)
    return header + struct.pack(f"<{len(labels)}f", *labels) + image


def write(path: Path, *records: bytes) -> Path:
    path.write_bytes(b"".join(records))
    return path


def test_records_as_they_are_written(tmp_path: Path) -> None:
    """A header record, images with one label and with several, and identities' records after them."""
    path = write(
        tmp_path / "train.rec",
        part(content(b"", 0, (4.0, 6.0))),
        part(content(png(1), 0)),
        part(content(png(2), 0)),
        part(content(png(3), 9.0, (1.0, 0.0))),
        part(content(b"", 0, (1.0, 3.0))),
        part(content(b"", 0, (3.0, 4.0))),
    )
    found = scan_records(path)
    assert found.names == ["0000000/00000001", "0000000/00000002", "0000001/00000003"]
    faces = load_faces(found, 40)
    assert faces.labels.tolist() == [0, 0, 1]
    assert faces.read(torch.arange(3))[:, 0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("cached", [True, False])
def test_a_content_with_the_magic_number_in_it_is_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bool
) -> None:
    """MXNet stores it in parts, without the number; a lossless image shows that nothing else changed."""
    image = png(5)
    whole = content(image + bytes(-len(image) % 4), 2.0) + WORD + bytes(8) + WORD + b"tail"
    cuts = [i for i in range(0, len(whole), 4) if whole[i : i + 4] == WORD]
    pieces = [whole[: cuts[0]], whole[cuts[0] + 4 : cuts[1]], whole[cuts[1] + 4 :]]
    path = write(
        tmp_path / "a.rec", part(content(png(4), 1.0)), *(part(p, k) for p, k in zip(pieces, (1, 2, 3), strict=True))
    )
    if not cached:
        monkeypatch.setattr("autofr.data.load.CACHE_SHARE", 0.0)
    found = scan_records(path)
    assert found.names == ["0000001/00000000", "0000002/00000001"]
    assert load_faces(found, 40).read(torch.arange(2))[:, 0, 3, 3].tolist() == [4, 5]
    assert found.image(1)._replace(image_at=0).read() == whole


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (b"", "holds no images"),
        (b"no record", "is no RecordIO file: at byte 0"),
        (WORD, "is cut short"),
        (part(content(png(1), 0))[:-40], "is cut short: the record at byte 0 claims"),
        (WORD + struct.pack("<I", 2**29 - 1) + bytes(99), "claims 536870911 bytes, past its end"),
        (WORD + struct.pack("<I", 2**32 - 1) + bytes(99), "is no RecordIO file"),
        (part(b"short"), "and no header"),
        (part(content(png(1), 0, flag=2**30)), "claims 1073741824 labels"),
        (part(content(png(1), float("nan"))), "of identity nan"),
        (part(content(png(1), -1.0)), "of identity -1.0"),
        (part(content(png(1), 0.5)), "of identity 0.5"),
        (part(content(png(1), 0), kind=2), "parts out of order"),
        (part(content(png(1), 0), kind=1), "has no length, or no end"),
        (part(content(png(1), 0), kind=1) + part(b"x"), "parts out of order"),
        (part(content(b"", 0)), "holds no images"),
    ],
)
def test_what_a_file_does_not_bear_out_is_refused(tmp_path: Path, broken: bytes, told: str) -> None:
    with pytest.raises(AutofrError, match=told):
        scan_records(write(tmp_path / "a.rec", broken))


def test_a_record_beyond_all_measure_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    with open(path, "wb") as file:  # a sparse file: nothing is on the disk
        file.write(WORD + struct.pack("<I", MAX_RECORD + 4))
        file.truncate(2 * MAX_RECORD)
    with pytest.raises(AutofrError, match="has 67108868 bytes, over 67108864"):
        scan_records(path)


def test_a_broken_image_is_named_and_skipped(tmp_path: Path) -> None:
    records = [part(content(png(i), i // 2)) for i in range(40)]
    records[7] = part(content(b"no image", 3))
    faces = load_faces(scan_records(write(tmp_path / "a.rec", *records)), 40)
    assert len(faces) == 39
    assert "a.rec: 0000003/00000007" in faces.notes[0].text


@pytest.mark.search
def test_the_real_file(real_faces: Path, tiny: dict[str, Any], tmp_path: Path) -> None:
    """Written by MXNet: its images are those of the first identities of the training folder."""
    path = real_faces / "insightface" / "train.rec"
    found = scan(path)
    faces = load_faces(found, 112)
    assert len(faces) == 1640
    assert len(faces.identities) == 120
    index = [line.split() for line in (path.with_suffix(".idx")).read_text().splitlines()]
    starts = {int(number): int(start) for number, start in index}
    assert found.spans[:, 0].tolist() == [starts[number] for number in range(1, 1641)]
    folder = sorted(p for p in (real_faces / "train").glob("cfp_*"))[:120]
    counts = [len(list(p.iterdir())) for p in folder]
    assert torch.bincount(faces.labels).tolist() == counts
    asked = tiny | {"epochs": 0.1, "batch_size": 64, "mask_prob": 0.0, "image_size": 32, "validation_identities": 20}
    result = autofr.train("arcface:0.3", path, run_dir=tmp_path / "run", **asked)
    assert result.config["data"]["images"] == 1640


def test_landmarks_go_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "train.rec", *(part(content(png(i), i // 2)) for i in range(4)))
    names = np.array(["0000000/00000000", "0000001/00000003"])
    np.savez(tmp_path / "train_landmarks.npz", names=names, landmarks=np.full((2, 68, 2), 20, dtype=np.float32))
    faces = load_faces(scan(path), 40)
    assert faces.landmarks is not None
    assert faces.landmarks.isfinite().all((1, 2)).tolist() == [True, False, False, True]
    with pytest.raises(AutofrError, match="no landmarks file"):
        scan(path, tmp_path / "none.npz")


def test_a_file_that_is_cut_short_under_way_is_an_unreadable_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.rec", *(part(content(png(i), 0)) for i in range(3)))
    found = scan_records(path)
    with open(path, "rb+") as file:
        file.truncate(path.stat().st_size - 4)
    with pytest.raises(OSError, match=r"a.rec: 0000000/00000002: the file was cut short meanwhile"):
        found.image(2).read()
    path.write_bytes(b"\xff" * path.stat().st_size)
    image = found.image(0)
    with pytest.raises(OSError, match=r"a.rec: 0000000/00000000"):
        decode_into(image.read(), room(1, 40)[0], image.name)


def indexed(path: Path, places: list[tuple[int, int]]) -> Path:
    path.with_suffix(".idx").write_text("".join(f"{key}\t{place}\n" for key, place in places))
    return path


def with_header(tmp_path: Path, images: float, last: float) -> tuple[Path, list[tuple[int, int]]]:
    """A file of two images and an identity, whose header is written last, as MXNet's tools do."""
    records = [part(content(png(1), 0)), part(content(png(2), 0)), part(content(b"", 0, (1.0, 3.0)))]
    records.append(part(content(b"", 0, (images, last))))
    places = [(key, sum(map(len, records[:number]))) for number, key in enumerate((1, 2, 3, 0))]
    return write(tmp_path / "train.rec", *records), places


def test_an_index_that_is_right_changes_nothing(tmp_path: Path) -> None:
    path, places = with_header(tmp_path, 3.0, 4.0)
    assert scan_records(indexed(path, places)).names == ["0000000/00000000", "0000000/00000001"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((1, 10**9), "line 1: byte 1000000000 of key 1 is past the end of train.rec"),
        ((1, 4), "line 1: byte 4 of key 1 is where train.rec has no record"),
    ],
)
def test_an_index_of_another_file(tmp_path: Path, change: tuple[int, int], told: str) -> None:
    path, places = with_header(tmp_path, 3.0, 4.0)
    with pytest.raises(AutofrError, match=told):
        scan_records(indexed(path, [change, *places[1:]]))
    path.with_suffix(".idx").write_text("1\tnowhere\n")
    with pytest.raises(AutofrError, match=r"line 1: it has no key and place; .* or remove it"):
        scan_records(path)
    path.with_suffix(".idx").unlink()
    assert len(scan_records(path).names) == 2


@pytest.mark.parametrize(("images", "last"), [(9.0, 10.0), (3.0, 99.0), (1.0, 4.0)])
def test_a_header_that_lies(tmp_path: Path, images: float, last: float) -> None:
    path, places = with_header(tmp_path, images, last)
    with pytest.raises(AutofrError, match=r"its header says that records 1 to .*; it has 2 images and 4 records"):
        scan_records(indexed(path, places))


def test_a_first_record_that_is_an_image_with_two_labels_is_no_header(tmp_path: Path) -> None:
    records = [part(content(png(1), 0, (0.0, 7.0))), part(content(png(2), 1))]
    path = indexed(write(tmp_path / "train.rec", *records), [(0, 0), (1, len(records[0]))])
    assert len(scan_records(path).names) == 2
