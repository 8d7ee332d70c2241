"""autofr: AutoML for face recognition that searches while it trains once.

>>> import autofr
>>> result = autofr.search("arcface_margins", data="faces/", epochs=12)
>>> result.best, result.alpha[-1], result.checkpoint
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from autofr._version import __version__ as __version__
from autofr.exceptions import (
    AgreedError,
    AutofrError,
    DamagedFileError,
    DivergedError,
    LockedError,
    LostContactError,
    RankError,
    RunFormatError,
    SettingsDifferError,
    UnknownNameError,
)
from autofr.space.constraints import MaxFLOPs, MaxLatency, MaxParams
from autofr.space.dimensions import Choice, Range
from autofr.space.elastic import Elastic
from autofr.space.load import load_space
from autofr.space.space import SearchSpace

if TYPE_CHECKING:
    from autofr.backbones.embedder import Embedder
    from autofr.engine.api import search, train
    from autofr.engine.run import Pruned
    from autofr.evaluation.compare import compare
    from autofr.evaluation.evaluate import evaluate
    from autofr.evaluation.latency import measure_latency
    from autofr.runs.network import load_embedder
    from autofr.runs.pick import pick
    from autofr.runs.result import SearchResult
    from autofr.studies.run import StudyResult, study

# Torch takes seconds to import; `autofr --help` and space files must not wait for it.
_LAZY = {
    "Embedder": "autofr.backbones.embedder",
    "Pruned": "autofr.engine.run",
    "SearchResult": "autofr.runs.result",
    "StudyResult": "autofr.studies.run",
    "compare": "autofr.evaluation.compare",
    "evaluate": "autofr.evaluation.evaluate",
    "load_embedder": "autofr.runs.network",
    "measure_latency": "autofr.evaluation.latency",
    "pick": "autofr.runs.pick",
    "search": "autofr.engine.api",
    "study": "autofr.studies.run",
    "train": "autofr.engine.api",
}

__all__ = [
    "AgreedError",
    "AutofrError",
    "Choice",
    "DamagedFileError",
    "DivergedError",
    "Elastic",
    "Embedder",
    "LockedError",
    "LostContactError",
    "MaxFLOPs",
    "MaxLatency",
    "MaxParams",
    "Pruned",
    "Range",
    "RankError",
    "RunFormatError",
    "SearchResult",
    "SearchSpace",
    "SettingsDifferError",
    "StudyResult",
    "UnknownNameError",
    "compare",
    "evaluate",
    "load_embedder",
    "load_space",
    "measure_latency",
    "pick",
    "search",
    "study",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'autofr' has no attribute '{name}'")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
