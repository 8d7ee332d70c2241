"""Exact verification errors from scores. ISO/IEC 19795 words: genuine and impostor comparisons, FNMR and FMR.

The threshold rule: a comparison matches when its score is *above* the threshold. The threshold for a target FMR is
the highest-ranked impostor score that may not match: with n impostor scores in descending order it is the one at
place floor(FMR·n), counting from 0. So the FMR reached is at most the target, ties included, and FNMR is the share
of genuine scores at or below the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_BLOCK = 2048  # rows of the score matrix at a time: 2048 x 38,000 float32 scores are 300 MB


def impostors_allowed(fmr: float, impostors: int) -> int:
    """How many of ``impostors`` comparisons may match at ``fmr``; the product's float rounding is not counted."""
    return math.floor(fmr * impostors * (1 + 1e-12))


def fnmr_at_fmr(genuine: Tensor, impostor: Tensor, fmr: float) -> float:
    """FNMR at the threshold where the FMR is at most ``fmr``, exact.

    Args:
        genuine: (G,) scores, higher is more alike.
        impostor: (I,) scores.
        fmr: target false match rate, above 0 and below 1.

    Returns:
        FNMR in [0, 1]; NaN if there is no genuine score, a score is not finite, or I < 1/fmr: so few impostors
        cannot show such a rate.
    """
    return fnmr_from_tail(genuine, impostor, len(impostor), fmr)


def fnmr_from_tail(genuine: Tensor, tail: Tensor, impostors: int, fmr: float) -> float:
    """As :func:`fnmr_at_fmr`, from the highest impostor scores alone.

    Args:
        genuine: (G,) scores.
        tail: at least the ``floor(fmr·impostors) + 1`` highest impostor scores, in any order.
        impostors: how many impostor comparisons there were.
        fmr: target false match rate.
    """
    if not 0 < fmr < 1:
        raise ValueError(f"a target FMR lies between 0 and 1, got {fmr}")
    allowed = impostors_allowed(fmr, impostors)
    finite = bool(genuine.isfinite().all()) and bool(tail.isfinite().all())
    if allowed < 1 or not len(genuine) or not finite:
        return math.nan
    if allowed >= impostors:
        return 0.0
    threshold = tail.topk(allowed + 1).values[-1]
    return int((genuine <= threshold).sum()) / len(genuine)


def all_pairs_fnmr(
    embeddings: Tensor, labels: Tensor, fmrs: Sequence[float], probes: Tensor | None = None
) -> dict[float, float]:
    """FNMR at each FMR over all pairs of images, computed block by block: exact, and never all scores at once.

    Args:
        embeddings: (N, D) L2-normalised, float32 or float64; the gallery.
        labels: (N,) identity of each row.
        fmrs: target false match rates.
        probes: (N, D) other embeddings of the same images, such as their masked versions. Then the pairs are
            probe i against gallery j for all i != j; without, they are i < j.

    Returns:
        ``fnmr_at_fmr`` by target.
    """
    count = len(labels)
    same_identity = int(torch.bincount(labels).square().sum()) - count  # ordered pairs i != j
    impostors = count * count - count - same_identity
    ordered = probes is not None
    if not ordered:
        impostors //= 2
    keep = min(impostors, max((impostors_allowed(f, impostors) for f in fmrs), default=0) + 1)
    rows = embeddings if probes is None else probes
    genuine: list[Tensor] = []
    tail = embeddings.new_empty(0)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        scores = rows[start:stop] @ embeddings.T
        index = torch.arange(start, stop, device=scores.device)[:, None]
        column = torch.arange(count, device=scores.device)[None]
        counted = (column != index) if ordered else (column > index)
        same = labels[start:stop, None] == labels[None]
        genuine.append(scores[same & counted])
        tail = torch.cat([tail, scores[~same & counted]])
        if len(tail) > keep:
            # NaN ranks above everything in topk, so a broken embedding stays visible.
            tail = tail.topk(keep).values
    told = torch.cat(genuine) if genuine else tail
    return {f: fnmr_from_tail(told, tail, impostors, f) for f in fmrs}


def best_accuracy_threshold(scores: Tensor, same: Tensor) -> float:
    """The threshold with the highest accuracy on these pairs; of several, the lowest.

    Candidates are below the lowest score, between neighbouring distinct scores (their midpoint), and the highest.

    Args:
        scores: (P,) float64.
        same: (P,) bool, whether the pair is genuine.
    """
    order = scores.argsort()
    ranked, genuine = scores[order], same[order].long()
    # With the k lowest scores rejected: right are the impostors among them and the genuine ones above.
    rejected = torch.cat([torch.zeros(1, dtype=torch.long), genuine.cumsum(0)])
    right = torch.arange(len(ranked) + 1) - rejected + (genuine.sum() - rejected)
    right[1:-1][ranked[1:] == ranked[:-1]] = -1  # no threshold separates equal scores
    k = int(right.argmax())
    if k == 0:
        return float(ranked[0]) - 1.0
    return float(ranked[-1]) if k == len(ranked) else float((ranked[k - 1] + ranked[k]) / 2)
