"""Files of faces and of what is known about them: images, archives, arrays, lists."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzzing import breaking
from tests.fuzzing.target import Parse, Target, written


def _picture(kind: str, size: int = 24, turned: bool = True) -> bytes:
    x, y = np.mgrid[:size, :size]
    pixels = np.stack([x * 9 % 256, y * 7 % 256, (x + y) * 5 % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    more: dict[str, Any] = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}
    Image.fromarray(pixels).save(out, kind, **(more if turned and kind != "BMP" else {}))
    return out.getvalue()


def image() -> Target:
    from autofr.io.images import open_image

    wholes = [_picture(kind) for kind in ("JPEG", "PNG", "BMP", "WEBP")]
    broken = breaking.broken_bytes(wholes) | breaking.broken_bytes(wholes) | breaking.chunks(wholes[1])
    return Target("image", wholes[0], broken, written("face.jpg", open_image), (OSError,))


def bin() -> Target:
    from autofr.data.insightface_bin import read_bin

    pictures = [_picture("PNG", 8), _picture("JPEG", 8)]
    whole = ([np.frombuffer(p, dtype=np.uint8) for p in pictures], [True])
    plain = (pictures, [False])
    broken = breaking.pickled(whole) | breaking.pickled(plain)
    return Target("bin", pickle.dumps(whole, 4), broken, written("lfw.bin", lambda path: read_bin(path, 8)))


def rec() -> Target:
    from autofr.data.recordio import scan_records
    from autofr.io.decoder import room
    from autofr.io.image_source import MAGIC
    from autofr.io.images import decode_into

    picture = _picture("JPEG", 8, turned=False)

    def parse(path: Path) -> None:
        scan = scan_records(path)
        for place in range(len(scan.names)):
            image = scan.image(place)
            decode_into(image.read(), room(1, 8)[0], image.name)

    content = struct.pack("<IfQQ", 0, 3.0, 1, 0) + picture
    whole = struct.pack("<II", MAGIC, len(content)) + content + bytes(-len(content) % 4)
    return Target("rec", whole, breaking.records(picture), written("train.rec", parse), (OSError,))


def landmarks() -> Target:
    from autofr.masks import read_landmarks

    arrays = {
        "names": np.array(["a/1.jpg", "b/2.jpg"]),
        "landmarks": np.ones((2, 68, 2), dtype=np.float16),
        "detected": np.array([True, False]),
        "scheme": np.array("ibug68"),
    }
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return Target("landmarks", out.getvalue(), breaking.npz(arrays), written("x.npz", read_landmarks))


def embeddings() -> Target:
    from autofr.evaluation.stored import read_embeddings, read_labels

    arrays = {
        "vectors": np.ones((3, 4), dtype=np.float32),
        "labels": np.array([1, 2, 3]),
        "names": np.array(["a/b", "c/d"]),
    }
    wholes = []
    for array in arrays.values():
        out = io.BytesIO()
        np.save(out, array)
        wholes.append(out.getvalue())
    either = written("x.npy", lambda path: read_embeddings(path))
    labels = written("y.npy", lambda path: read_labels(path))

    def prepare(folder: Path) -> Parse:
        first, second = either(folder), labels(folder)

        def run(content: bytes) -> None:
            from autofr.exceptions import AutofrError

            try:
                first(content)
            except AutofrError:
                second(content)

        return run

    return Target("npy", wholes[0], breaking.broken_bytes(wholes), prepare)


def tables() -> Target:
    """Lists of pairs, attributes and IJB's tables."""
    from autofr.data.ijb import _pair_table, _table
    from autofr.evaluation.protocols.attributes import read_attributes
    from autofr.evaluation.protocols.pairs import read_pairs
    from autofr.exceptions import AutofrError

    names = [f"{who}/{who}_{i:04d}.jpg" for who in ("Ann", "Bob") for i in (1, 2, 3)]
    pairs = b"".join(b"Ann\t1\t2\nBob\t1\t3\nAnn\t1\tBob\t2\nAnn\t3\tBob\t1\n" for _ in range(10))
    attributes = b"name,masked,wild\n" + b"".join(f"{name},1,0\n".encode() for name in names)
    table = b"1.jpg 1.5 2.5\n2.jpg 3 4\n"
    triples = b"1 2 1\n3 4 0\n"
    parsers: list[Callable[[Path], Any]] = [
        lambda path: read_pairs(path, names),
        lambda path: read_attributes(path, names, ["wild"]),
        lambda path: _table(path, 2),
        _pair_table,
    ]

    def prepare(folder: Path) -> Parse:
        def run(content: bytes) -> None:
            (folder / "list.txt").write_bytes(content)
            refused: list[AutofrError] = []
            for parse in parsers:
                try:
                    parse(folder / "list.txt")
                except AutofrError as error:
                    refused.append(error)
            if len(refused) == len(parsers):
                raise refused[-1]

        return run

    return Target("tables", triples, breaking.broken_bytes([pairs, attributes, table, triples]), prepare)
