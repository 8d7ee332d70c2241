"""Images a second that a training's source delivers, over those that the bare decoder decodes.

    python experiments/speed/loading.py FACES [--images 20000] [--size 112]

FACES is a folder with one sub-folder an identity, and landmarks beside it. ``torchvision`` and ``simplejpeg``: their
decode_jpeg over bytes that are in memory, a thread a core. ``folder``, ``records`` and ``shards``: what batches are
read from where images do not fit in memory (:mod:`autofr.data.sources`), from a warm disk: reading, decoding, labels,
landmarks to anchors. Rounds in turn, batches of 128; medians of all rounds, and of the ratios within a round, go to
``loading.csv``. Nothing else should run.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import simplejpeg
import torch
import torchvision

import autofr.data.load
from autofr.data import load_faces, scan
from autofr.data.pack import pack
from autofr.data.shards import open_shards
from autofr.data.sources import FacesSource, ShardsSource
from autofr.io.image_source import MAGIC
from autofr.system.thread_pool import in_parallel

BATCH = 128
RGB = torchvision.io.ImageReadMode.RGB


def records(folder: Path, out: Path) -> Path:
    """The folder as a RecordIO file."""
    people = {name: i for i, name in enumerate(sorted(p.name for p in folder.iterdir()))}
    with open(out, "wb") as file:
        for path in sorted(folder.glob("*/*")):
            content = struct.pack("<IfQQ", 0, people[path.parent.name], 1, 0) + path.read_bytes()
            file.write(struct.pack("<II", MAGIC, len(content)) + content + bytes(-len(content) % 4))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    autofr.data.load.CACHE_SHARE = 0.0  # as if nothing fitted in memory
    landmarks = args.faces.with_name(f"{args.faces.name}_landmarks.npz")
    with tempfile.TemporaryDirectory() as temporary:
        few, count = Path(temporary) / "few", 0
        few.mkdir()
        for person in sorted(args.faces.iterdir()):
            if count < args.images:
                (few / person.name).mkdir()
                for image in sorted(person.iterdir()):
                    os.symlink(image.resolve(), few / person.name / image.name)
                    count += 1
        raw = [path.read_bytes() for path in sorted(few.glob("*/*"))]
        shards = pack(few, Path(temporary) / "shards", landmarks=landmarks, progress=False).folder
        rec = records(few, Path(temporary) / "train.rec")
        folder = FacesSource(load_faces(scan(few, landmarks), args.size), BATCH, 0)
        recordio = FacesSource(load_faces(scan(rec), args.size), BATCH, 0)
        stream = ShardsSource(open_shards(shards), args.size, BATCH, 0)
        steps = min(folder.steps_per_epoch, stream.steps_per_epoch)

        threads = os.cpu_count() or 1

        def bare(decode: Callable[[bytes], object]) -> Callable[[], None]:
            def share(thread: int) -> None:
                for content in raw[thread : steps * BATCH : threads]:
                    decode(content)

            return lambda: in_parallel(share, range(threads), str)

        def torchvision_decoder(content: bytes) -> torch.Tensor:
            return torchvision.io.decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode=RGB)

        def read(source: FacesSource | ShardsSource) -> Callable[[], None]:
            def run() -> None:
                for step in range(steps):
                    source.read(step)

            return run

        kinds = {
            "torchvision": bare(torchvision_decoder),
            "simplejpeg": bare(lambda content: simplejpeg.decode_jpeg(content, "RGB")),
            "folder": read(folder),
            "records": read(recordio),
            "shards": read(stream),
        }
        taken: dict[str, list[float]] = {kind: [] for kind in kinds}
        for turn in range(args.rounds + 1):
            for kind, work in kinds.items():
                started = time.perf_counter()
                work()
                if turn:  # the first round warms up
                    taken[kind].append(steps * BATCH / (time.perf_counter() - started))
        rows = [
            {
                "source": kind,
                "images a second": round(statistics.median(rates)),
                **{
                    f"of {bare}": round(statistics.median(a / b for a, b in zip(rates, taken[bare], strict=True)), 3)
                    for bare in ("torchvision", "simplejpeg")
                },
                "images": steps * BATCH,
                "pixels": args.size,
                "cores": os.cpu_count(),
            }
            for kind, rates in taken.items()
        ]
        with open(args.out, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        for row in rows:
            print(row)


if __name__ == "__main__":
    main()
