"""What the class centres cost, by the number of classes: all of them a step, or a tenth (Partial FC).

    python experiments/speed/partial_fc.py
    python experiments/speed/partial_fc.py --device cuda --ranks 1 --out experiments/speed/partial_fc_h100.csv
    python experiments/speed/partial_fc.py --device cuda --ranks 1 --classes 156250 --faces 8192 --out share.csv

For each number of classes, rate and number of ranks (gloo, on this machine): the median time of a step of the head
alone (draw, loss, backward, SGD), and how much the largest memory of a rank grew over that of the process with nothing
in it, libraries that load on first use included; on a GPU, the largest sum of what tensors there took. A cell is a
process, or a torchrun, of its own, one thread a rank; embeddings of 512 numbers, 128 faces a step for all ranks
together. (With 156,250 classes and 8,192 faces one rank does what each of 64 does for ten million classes, but for what
they tell each other.) Rows go to ``partial_fc.csv``. Nothing else should run; 1,000,000 classes take some 15 GiB.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch

from autofr.compute.mesh import ALONE, Shape, joined
from autofr.losses import ArcFace
from autofr.losses.partial_fc import PartialFC

DIM = 512


def memory(device: torch.device) -> float:
    """The largest this process has been, or the largest its tensors on a GPU were, MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cell(classes: int, rate: float, ranks: int, steps: int, faces: int, device: torch.device) -> dict[str, float]:
    """One measurement, in this process."""
    with joined(Shape(data=ranks), 1, device) if ranks > 1 else nullcontext(ALONE) as mesh:
        torch.manual_seed(0)
        before = memory(device)
        head = PartialFC(classes, DIM, rate=rate, mesh=mesh, device=device)
        optimizer = torch.optim.SGD(head.parameters_to_train, lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
        for parameter in head.parameters_to_train:
            optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}
        loss, rows = ArcFace(0.5, s=64.0), faces // ranks
        sizes = [rows] * ranks
        embeddings = torch.randn(rows, DIM, device=device, requires_grad=True)
        labels = torch.randint(classes, (rows,), device=device)
        taken = []
        for _ in range(steps + 2):
            started = time.perf_counter()
            head.draw(labels, optimizer, sizes)
            value = head(embeddings, labels, loss, sizes)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            head.scale_gradients()
            optimizer.step()
            head.keep(optimizer)
            if device.type == "cuda":
                torch.cuda.synchronize()
            taken.append(time.perf_counter() - started)
        grown = max(mesh.of_partners(memory(device) - before))
        return {"milliseconds": 1000 * statistics.median(taken[2:]), "MiB a rank": grown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--faces", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--cell", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    if args.cell:
        classes, rate, ranks, steps = args.cell
        torch.set_num_threads(1)
        found = cell(int(classes), float(rate), int(ranks), int(steps), args.faces, torch.device(args.device))
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(found))
        return
    rows = []
    for classes in args.classes:
        for ranks in args.ranks:
            for rate in (1.0, 0.1):
                launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
                what = [__file__, "--faces", str(args.faces), "--device", args.device]
                what += ["--cell", str(classes), str(rate), str(ranks), str(args.steps)]
                command = [sys.executable, *(launch if ranks > 1 else []), *what]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found = json.loads(done.stdout.splitlines()[-1])
                rows.append(
                    {"classes": classes, "ranks": ranks, "rate": rate, "faces": args.faces}
                    | {k: round(v, 2) for k, v in found.items()}
                )
                print(rows[-1], flush=True)
    with open(args.out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
