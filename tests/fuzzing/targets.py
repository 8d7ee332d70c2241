"""Every parser that a stranger's file can reach."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzzing import of_data, of_names, of_runs
from tests.fuzzing.target import Target

TARGETS: dict[str, Callable[[], Target]] = {
    "checkpoint": of_runs.bank,
    "model": of_runs.model,
    "journal": of_runs.journal,
    "configuration": of_runs.config,
    "recovery": of_runs.recovery,
    "bin": of_data.bin,
    "rec": of_data.rec,
    "landmarks": of_data.landmarks,
    "npy": of_data.embeddings,
    "image": of_data.image,
    "space": of_names.space,
    "names": of_names.specs,
    "tables": of_data.tables,
    "nni": of_names.search_space,
    "report": of_runs.report,
    "study": of_runs.study,
}
"""What makes each target, by name."""
