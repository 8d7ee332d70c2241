"""Where do masks land? Every face of a set is given masks; those on the wrong place are counted.

    python experiments/mask_placement/run.py FACES [--draws 3]

FACES holds ``train/`` and ``train_landmarks.npz``. A mask is misplaced if more than 1 % of its pixels lie outside the
convex hull of the 68 landmarks, grown by 8 % about its centroid, or if any pixel of it lies above the line through the
centres of the eyes. Only pixels inside the image are looked at. The cloth is meant: ear loops run over hair and ears.
Masks
hung on five points are counted as well. Writes ``placement.csv`` and ``misplaced.csv`` beside this script.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import ConvexHull

from autofr.detection.align import five_points
from autofr.masks import RandomFaceMask, read_landmarks
from autofr.masks.geometry import AWAY, FRONT, SIDE, UNSEEN, Frame, Outline, placement, yaw
from autofr.masks.paint import mask_opacity
from autofr.masks.schemes import landmark_scheme

SIZE, OUTSIDE, GROWN, BATCH = 112, 0.01, 1.08, 256
KINDS = {FRONT: "front", SIDE: "one-sided", AWAY: "turned away, bare", UNSEEN: "no landmarks, bare"}
HERE = Path(__file__).parent


def hull_planes(landmarks: np.ndarray) -> np.ndarray:
    """The grown hull as half-planes (K, 3): n·x + c <= 0 inside."""
    hull = ConvexHull(landmarks)
    corners = landmarks[hull.vertices]
    centre = corners.mean(0)
    return ConvexHull(centre + GROWN * (corners - centre)).equations


def judge(cloth: np.ndarray, landmarks: np.ndarray) -> tuple[float, int]:
    """Share of the mask's pixels outside the hull, and number of them above the eyes."""
    ys, xs = np.nonzero(cloth)
    pixels = np.stack([xs, ys], 1).astype(np.float64)
    planes = hull_planes(landmarks)
    outside = ((pixels @ planes[:, :2].T + planes[:, 2]) > 0).any(1)
    left, right = landmarks[36:42].mean(0), landmarks[42:48].mean(0)
    along = (right - left) / max(np.linalg.norm(right - left), 1e-9)
    below = (pixels - left) @ np.array([-along[1], along[0]])
    return float(outside.mean()) if len(pixels) else 0.0, int((below < 0).sum())


def count_misplaced(
    names: list[str],
    landmarks: torch.Tensor,
    anchors: torch.Tensor,
    way: str,
    draw: int,
    counts: dict[tuple[str, str], list[int]],
    worst: list[list[object]],
) -> None:
    """Give every face one mask hung on ``anchors``; judge it by the dense ``landmarks``."""
    kinds, turns = placement(anchors, SIZE, SIZE), yaw(anchors)
    generator = RandomFaceMask(p=1.0)._param_generator
    for start in range(0, len(names), BATCH):
        part = slice(start, start + BATCH)
        params = generator(torch.Size([len(anchors[part]), 3, SIZE, SIZE]))
        wanted = kinds[part] > AWAY
        outline = Outline(Frame.of(anchors[part][wanted]), {k: v[wanted] for k, v in params.items()})
        cloth = (mask_opacity(outline, SIZE, SIZE) > 0.5).numpy()
        painted = dict(zip((wanted.nonzero()[:, 0] + start).tolist(), cloth, strict=True))
        for index in range(start, start + len(wanted)):
            count = counts.setdefault((f"{names[index].split('_')[0]}, {way}", KINDS[int(kinds[index])]), [0, 0, 0, 0])
            count[0] += 1
            if index in painted:
                outside, above = judge(painted[index], landmarks[index].double().numpy())
                bad = outside > OUTSIDE or above > 0
                count[1:] = [count[1] + (outside > OUTSIDE), count[2] + (above > 0), count[3] + bad]
                if bad and way == "68 points":
                    worst.append([names[index], draw, f"{float(turns[index]):.0f}", f"{outside:.3f}", above])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--draws", type=int, default=3, help="masks a face (default: 3)")
    arguments = parser.parse_args()
    rows, scheme = read_landmarks(arguments.faces / "train_landmarks.npz")
    names, landmarks = list(rows), torch.from_numpy(np.stack(list(rows.values())))
    five = np.stack([five_points(face, scheme) for face in landmarks.numpy()])
    counts: dict[tuple[str, str], list[int]] = {}
    worst: list[list[object]] = []
    for way, anchors in (
        ("68 points", landmark_scheme(scheme).anchors(landmarks)),
        ("5 points", landmark_scheme("points5").anchors(torch.from_numpy(five))),
    ):
        for draw in range(arguments.draws):
            torch.manual_seed(draw)
            count_misplaced(names, landmarks, anchors, way, draw, counts, worst)
    apart = (landmark_scheme("points5").anchors(torch.from_numpy(five)) - landmark_scheme(scheme).anchors(landmarks))[
        :, :10
    ]
    celebrities = torch.tensor([name.startswith("celeba_") for name in names])
    off = float(apart[celebrities].square().sum(-1).mean().sqrt())
    print(f"contour by five points: {off:.1f} px off (root mean square, celeba)")
    with (HERE / "placement.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["set", "placement", "draws", "outside the hull", "above the eyes", "misplaced", "share"])
        for (group, kind), (total, outside, above, bad) in sorted(counts.items()):
            table.writerow([group, kind, total, outside, above, bad, f"{bad / total:.4f}"])
            print(group, kind, total, outside, above, bad, f"{bad / total:.4f}")
        table.writerow(["celeba, 5 points", "contour off, px rms", "", "", "", "", f"{off:.1f}"])
    with (HERE / "misplaced.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "draw", "yaw", "share outside", "pixels above the eyes"], *sorted(worst)])


if __name__ == "__main__":
    main()
