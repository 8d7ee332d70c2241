"""Are rendered masks coloured and textured as worn ones are? Statistics of the same patch of face in both.

    python experiments/mask_realism/run.py FACES [--seeds 0 1 2]

FACES holds ``mfr2/`` with ``mfr2_labels.txt`` (worn masks) and ``train/`` with its landmarks: 600 ``celeba_*`` faces of
it are masked, nose covered. The patch is rows 78 to 103 and columns 38 to 74 of the aligned 112x112 face, on the mask
in nearly every image. The palette and the shares of materials were set by hand with this table in view; no network is
chosen by it. Writes ``realism.csv`` beside this file.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from autofr.io.images import read_image
from autofr.masks import RandomFaceMask, landmark_scheme, placement, read_landmarks
from autofr.masks.geometry import AWAY

HERE = Path(__file__).resolve().parent
LUMA = torch.tensor([0.299, 0.587, 0.114])
COUNT, SIZE = 600, 112


def statistics(images: Tensor) -> dict[str, str]:
    """Of images (N, 3, 112, 112): brightness, colour and texture of the patch, over the images."""
    patch = images[:, :, 78:104, 38:75]
    colour, grey = patch.mean((2, 3)), (patch * LUMA[:, None, None]).sum(1)
    light, saturation = colour @ LUMA, colour.amax(1) - colour.amin(1)
    shares = np.histogram(light, [0, 0.2, 0.4, 0.6, 0.8, 1.01])[0] / len(light)
    return {
        "luminance": f"{light.mean():.3f}",
        "its deviation": f"{light.std():.3f}",
        "luminance by fifths": " ".join(f"{share:.2f}" for share in shares),
        "saturation": f"{saturation.mean():.3f}",
        "pixels above 0.97": f"{(patch.amin(1) > 0.97).float().mean():.3f}",
        "deviation within a mask": f"{grey.flatten(1).std(1).mean():.3f}",
        "step between pixels": f"{grey.diff(dim=2).abs().mean():.4f}",
    }


def load(paths: list[Path]) -> Tensor:
    """Images as float32 (N, 3, 112, 112)."""
    return torch.from_numpy(np.stack([read_image(p, SIZE, SIZE)[0] for p in paths])).float() / 255


def main() -> None:
    """Measure both and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    worn = []
    for line in (arguments.faces / "mfr2_labels.txt").read_text().splitlines():
        person, number, kind = line.split(", ")
        if kind != "no-mask":
            worn += sorted((arguments.faces / "mfr2" / person).glob(f"{person}_{int(number):04d}.*"))
    rows = [{"masks": "worn (MFR2)", "images": str(len(worn))} | statistics(load(worn))]
    landmarks, scheme = read_landmarks(arguments.faces / "train_landmarks.npz")
    names = sorted(name for name in landmarks if name.startswith("celeba_"))
    for seed in arguments.seeds:
        chosen = [names[i] for i in np.random.default_rng(seed).choice(len(names), COUNT, replace=False)]
        points = torch.from_numpy(np.stack([landmarks[name] for name in chosen]))
        torch.manual_seed(seed)
        masked = RandomFaceMask(p=1.0, coverage={"full": 1.0})(
            load([arguments.faces / "train" / name for name in chosen]), points
        )
        masked = masked[placement(landmark_scheme(scheme).anchors(points), SIZE, SIZE) > AWAY]
        rows.append({"masks": f"rendered, seed {seed}", "images": str(len(masked))} | statistics(masked))
    with (HERE / "realism.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
