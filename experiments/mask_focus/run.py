"""Does the measured focus say how much a photograph was blurred?

    python experiments/mask_focus/run.py FACES

The 60 sharpest of 300 celebrity photographs (``train/celeba_*``, by the measure itself) are blurred by Gaussians of
known deviation; all 300 as they are come last. Writes ``focus.csv`` beside this file: the deviation put in and the one
found, then the excess over 1/4 of the ratio that it is read from, times the deviation squared: the constant of
``autofr.masks.light.measure_focus``, if the model holds.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from autofr.io.images import read_image
from autofr.masks.light import measure_focus

HERE = Path(__file__).resolve().parent
COUNT, SHARPEST, SIZE = 300, 60, 112


def excess(faces: Tensor) -> Tensor:
    """What is left of the ratio over 1/4, noise taken off, (B,)."""
    rows, grain = faces[:, 1, 2::8], 2 * measure_focus(faces)[1].square()
    one, two = (rows[..., d:] - rows[..., :-d] for d in (1, 2))
    return (one.square().mean((1, 2)) - grain) / (two.square().mean((1, 2)) - grain) - 0.25


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    paths = sorted((parser.parse_args().faces / "train").glob("celeba_*/*"))
    chosen = np.random.default_rng(0).choice(len(paths), COUNT, replace=False)
    faces = torch.from_numpy(np.stack([read_image(paths[i], SIZE, SIZE)[0] for i in chosen])).float() / 255
    sharp = faces[measure_focus(faces)[0].argsort()[:SHARPEST]]
    rows = []
    for sigma in (0.4, 0.6, 0.8, 1.0, 1.5, 2.0):
        soft = gaussian_blur2d(sharp, (17, 17), (sigma, sigma))
        constant = f"{float(excess(soft).median()) * sigma**2:.4f}"
        rows.append([sigma, f"{float(measure_focus(soft)[0].median()):.2f}", constant])
    rows.append(["as they are", f"{float(measure_focus(faces)[0].median()):.2f}", ""])
    with (HERE / "focus.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["deviation put in", "median found", "excess x deviation squared"], *rows])
    for row in rows:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
