"""`autofr.evaluate`: a trained network on a test set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autofr.data import Faces, load_folder, scan_folder
from autofr.device import pick_device
from autofr.embedder import load_embedder
from autofr.evaluation.embedding import embed_faces
from autofr.evaluation.errors import all_pairs_fnmr, fnmr_at_fmr
from autofr.evaluation.protocols.pairs import Pairs, fold_accuracies, read_pairs
from autofr.exceptions import AutofrError
from autofr.masks.geometry import AWAY
from autofr.progress import Display

FMRS = (1e-2, 1e-3)


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    pairs: str | Path | None = None,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    flip: bool = True,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Verification errors of a model on a folder of identities, as it is and with rendered masks.

    Args:
        model: a run directory or a checkpoint; see :func:`autofr.embedder.load_embedder`.
        data: a folder with one sub-folder an identity.
        pairs: a list of pairs (LFW's, MFR2's); ``None``: all pairs of the folder.
        landmarks: ``.npz`` of landmarks; ``None``: ``DATA_landmarks.npz`` beside the folder. Without any, nothing is
            masked.
        landmark_scheme: what the landmarks are (:func:`autofr.masks.landmark_scheme`); ``None``: the file or their
            number says it.
        flip: add each image's mirrored embedding, as is usual for these protocols.
        seed: decides the rendered masks.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: show a bar.

    Returns:
        ``standard`` and ``masked`` (``None`` without landmarks), each with ``fnmr`` by FMR (NaN where there are fewer
        than 1/FMR impostor pairs), ``genuine`` and ``impostor`` counts, and, with pairs, ``accuracy`` (mean of the 10
        folds) and ``accuracy_std``. Masked: the second image of each pair wears the mask, or, over all pairs, the
        probe. Then ``flip``, ``images``, ``unmasked`` (images without usable landmarks,
        or turned away: bare in ``masked``) and ``notes``.

    Raises:
        AutofrError: bad input.
    """
    if seed < 0:
        raise AutofrError(f"a seed is 0 or more, got {seed}")
    display = Display(progress)
    embedder = load_embedder(model, pick_device(device))
    scan = scan_folder(data, landmarks, landmark_scheme)
    with display.bar("reading faces", len(scan)) as advance:
        faces = load_folder(scan, embedder.config["image_size"], advance)
    protocol = read_pairs(Path(pairs), faces.names) if pairs is not None else None
    with display.bar("embedding", len(faces)) as advance:
        plain, masked = embed_faces(embedder.backbone, faces, seed, flip, advance)
    places = faces.placement()
    return {
        "standard": _score(faces, protocol, plain, None),
        "masked": None if masked is None else _score(faces, protocol, plain, masked),
        "flip": flip,
        "images": len(faces),
        "unmasked": 0 if places is None else int((places <= AWAY).sum()),
        "notes": [n for n in faces.notes if "kept for training" not in n] + list(protocol.notes if protocol else ()),
    }


def _score(faces: Faces, protocol: Pairs | None, gallery: Tensor, probes: Tensor | None) -> dict[str, Any]:
    if protocol is None:
        same = int(torch.bincount(faces.labels).square().sum()) - len(faces)
        pairs, halves = len(faces) * (len(faces) - 1), 2 if probes is None else 1
        fnmr = all_pairs_fnmr(gallery, faces.labels, FMRS, probes)
        return {"fnmr": fnmr, "genuine": same // halves, "impostor": (pairs - same) // halves}
    second = gallery if probes is None else probes
    scores = (gallery[protocol.first] * second[protocol.second]).sum(1)
    genuine, impostor = scores[protocol.same], scores[~protocol.same]
    accuracies = fold_accuracies(scores, protocol)
    return {
        "accuracy": float(accuracies.mean()),
        "accuracy_std": float(accuracies.std(ddof=1)),
        "fnmr": {fmr: fnmr_at_fmr(genuine, impostor, fmr) for fmr in FMRS},
        "genuine": len(genuine),
        "impostor": len(impostor),
    }
