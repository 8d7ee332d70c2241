"""An evaluation as a report: what ``report.json`` holds (keys: docs/evaluation.md), and the folder it lies in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autofr.data import Faces
from autofr.evaluation.bins import BINS
from autofr.evaluation.comparisons import Comparisons
from autofr.evaluation.figures import Curve, Errors
from autofr.evaluation.protocols import Row
from autofr.exceptions import AutofrError, DamagedFileError
from autofr.io.files import Output, read_json, write_json

VERSION = 1
"""Of the report's keys."""
REPORT = "report.json"
EVALUATION = Output("evaluation", (REPORT, "det.png", "scores.png", "worst_*.png"))
WORST = 16
"""Errors shown: half of them false non-matches, half false matches."""
_DET_POINTS, _HISTOGRAM_BINS = 300, 128


def report_row(
    comparisons: Comparisons,
    errors: Errors,
    bounds: Mapping[float, tuple[float, float]],
    row: Row,
    names: Sequence[str],
) -> dict[str, Any]:
    """One row's figures, JSON-able: what is not measurable is ``None``."""
    rates = [
        {
            "fmr": rate.fmr,
            "fnmr": _number(rate.fnmr),
            "tar": _number(rate.tar),
            "threshold": _number(rate.threshold),
            "interval": _interval(bounds.get(rate.fmr)),
        }
        for rate in errors.rates
    ]
    return {
        "genuine": errors.genuine,
        "impostor": errors.impostors,
        "rates": rates,
        "eer": _number(errors.eer),
        "d_prime": _number(errors.d_prime),
        "det": _det(errors.curve),
        "histogram": _histogram(errors),
        "worst": _worst(comparisons, errors, row, names),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _interval(bounds: tuple[float, float] | None) -> list[float] | None:
    return None if bounds is None or math.isnan(bounds[0]) else list(bounds)


def _det(curve: Curve) -> dict[str, list[float]]:
    """Points of the curve, thinned to what a plot shows; each is exact."""
    fmr, fnmr = curve.fmr, 1 - curve.tar
    if len(fmr) > _DET_POINTS:
        lowest = fmr[fmr > 0].min()
        # As far along the plot as along its axes: decades of FMR, and the whole of FNMR.
        decades = max(-float(lowest.log10()), 1.0)
        way = (fmr.clamp(min=lowest).log10().diff().abs() / decades + fnmr.diff().abs()).cumsum(0)
        wanted = torch.linspace(0, float(way[-1]), _DET_POINTS, dtype=way.dtype)
        chosen = torch.searchsorted(way, wanted).clamp(max=len(fmr) - 1)
        chosen = torch.unique(chosen)
        fmr, fnmr, thresholds = fmr[chosen], fnmr[chosen], curve.thresholds[chosen]
    else:
        thresholds = curve.thresholds
    return {"fmr": fmr.tolist(), "fnmr": fnmr.tolist(), "threshold": thresholds.tolist()}


def _histogram(errors: Errors) -> dict[str, Any]:
    genuine, impostor = errors.histogram.view(2, _HISTOGRAM_BINS, BINS // _HISTOGRAM_BINS).sum(2).tolist()
    return {"low": errors.low, "high": errors.high, "genuine": genuine, "impostor": impostor}


def _worst(comparisons: Comparisons, errors: Errors, row: Row, names: Sequence[str]) -> list[dict[str, Any]]:
    """The lowest genuine and the highest impostor scores."""
    lowest = comparisons.genuine.topk(min(WORST // 2, errors.genuine), largest=False)
    places = lowest.indices
    genuine = zip(lowest.values.tolist(), *(side[places].tolist() for side in comparisons.genuine_pairs), strict=True)
    top = slice(0, WORST // 2)
    impostor = zip(errors.tail.scores[top].tolist(), *(side[top].tolist() for side in errors.tail.pairs), strict=True)
    found = []
    for kind, pairs in (("false non-match", genuine), ("false match", impostor)):
        for score, *ids in pairs:
            images = [i if row.images is None else row.images[i] for i in ids]
            found.append(
                {
                    "kind": kind,
                    "score": score,
                    "images": images,
                    "names": [names[i] for i in images],
                    "masked": list(row.masked),
                }
            )
    return found


@dataclass(frozen=True)
class Evaluation:
    """A report, and the faces that it is about.

    Attributes:
        report: as :func:`autofr.evaluate` returns it.
        faces: the images; ``None``: embeddings from a file, of which no picture can be shown.
        seed: of the rendered masks.
    """

    report: dict[str, Any]
    faces: Faces | None
    seed: int

    def write(self, folder: Path) -> None:
        """Write ``report.json`` and the pictures to ``folder``, which appears whole."""
        from autofr.evaluation.plots import plot_det, plot_scores
        from autofr.evaluation.worst import worst_sheet

        with EVALUATION.replacing(folder) as new:
            write_json(new / REPORT, self.report)
            plot_det({self.report["model"]["name"]: self.report}, new / "det.png")
            plot_scores(self.report, new / "scores.png")
            for row, entry in self.report["results"].items() if self.faces is not None else ():
                name = re.sub(r"[^\w.\-]+", "_", row)
                if self.faces is not None and entry["worst"]:
                    worst_sheet(entry["worst"], self.faces, self.seed, new / f"worst_{name}.png")


def read_report(folder: Path) -> dict[str, Any]:
    """The report in ``folder``.

    Raises:
        AutofrError: none is there, it is damaged, or of another version.
    """
    path = folder / REPORT
    if not path.is_file():
        raise AutofrError(f"{folder} holds no evaluation ({REPORT}); make one with autofr evaluate")
    report = read_json(path)
    if not isinstance(report, dict) or "version" not in report:
        raise AutofrError(f"{path} is no report of an evaluation")
    if report["version"] != VERSION:
        raise AutofrError(f"{path} is of version {report['version']}; this autofr reads {VERSION}: evaluate again")
    if not _sound(report):
        raise DamagedFileError(f"{path} is damaged: it lacks keys of a report")
    return dict(report)


def _sound(report: dict[str, Any]) -> bool:
    """Whether what is compared and shown is there."""
    parts = ("model", "benchmark", "results", "summary")
    if not all(isinstance(report.get(part), dict) for part in parts) or not {"flip", "masks", "notes"} <= report.keys():
        return False
    rows = report["results"].values()
    keys = {"genuine", "impostor", "rates", "eer", "d_prime", "det", "histogram", "worst"}
    named = {"protocol", "data", "fingerprint"} <= report["benchmark"].keys() and "name" in report["model"]
    return named and all(isinstance(row, dict) and keys <= row.keys() for row in rows)
