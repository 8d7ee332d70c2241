"""Other libraries that drive autofr's policies: an NNI tuner, an Optuna sampler."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autofr.integrations.nni import LFSTuner
    from autofr.integrations.nni_space import read_search_space, write_search_space
    from autofr.integrations.optuna_sampler import LFSSampler

_LAZY = {
    "LFSSampler": "autofr.integrations.optuna_sampler",
    "LFSTuner": "autofr.integrations.nni",
    "read_search_space": "autofr.integrations.nni_space",
    "write_search_space": "autofr.integrations.nni_space",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'autofr.integrations' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


__all__ = ["LFSSampler", "LFSTuner", "read_search_space", "write_search_space"]
