"""autofr: AutoML for face recognition that searches while it trains once.

>>> import autofr
>>> result = autofr.search("arcface_margins", data="faces/", epochs=12)
>>> result.best, result.alpha[-1], result.checkpoint
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from autofr.constraints import MaxFLOPs, MaxLatency, MaxParams
from autofr.dimensions import Choice, Range
from autofr.elastic import Elastic
from autofr.exceptions import AutofrError
from autofr.spaces import SearchSpace, load_space

if TYPE_CHECKING:
    from autofr.embedder import Embedder, load_embedder
    from autofr.evaluation.evaluate import evaluate
    from autofr.search.result import SearchResult
    from autofr.search.run import search, train
    from autofr.studies.run import study

__version__ = "0.1.0"

# Torch takes seconds to import; `autofr --help` and space files must not wait for it.
_LAZY = {
    "train": "autofr.search.run",
    "study": "autofr.studies.run",
    "SearchResult": "autofr.search.result",
    "evaluate": "autofr.evaluation.evaluate",
    "Embedder": "autofr.embedder",
    "load_embedder": "autofr.embedder",
}


def __getattr__(name: str) -> Any:
    if name == "search":
        return importlib.import_module("autofr.search")  # the package, which is callable
    if name not in _LAZY:
        raise AttributeError(f"module 'autofr' has no attribute '{name}'")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


__all__ = [
    "AutofrError",
    "Choice",
    "Elastic",
    "Embedder",
    "MaxFLOPs",
    "MaxLatency",
    "MaxParams",
    "Range",
    "SearchResult",
    "SearchSpace",
    "evaluate",
    "load_embedder",
    "load_space",
    "search",
    "study",
    "train",
]
