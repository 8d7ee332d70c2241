"""Fewer synthetic faces, and patience with MLflow's process."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def patient(patience: None) -> None:
    """See ``patience``."""


@pytest.fixture(scope="session", autouse=True)
def few_faces() -> Iterator[None]:
    """Draw fewer synthetic faces in this process: trials of processes of their own have the usual ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autofr.engine.data.SYNTHETIC_IDENTITIES", 24)
        patch.setattr("autofr.engine.data.SYNTHETIC_IMAGES", 8)
        yield
