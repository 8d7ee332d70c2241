"""Fixtures that tests share: tiny faces, finished runs that are made once a session, the real faces where they are."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from safetensors.torch import load_file

from autofr.console import attached
from autofr.data import Faces, synthetic_faces
from autofr.detection.align import TEMPLATE
from autofr.testing.killing import journal_lines
from tests import processes
from tests.logs import LinesHandler
from tests.paths import REPOSITORY

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.pop("MLFLOW_TRACKING_URI", None)
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(REPOSITORY / "tests" / "eager"), *filter(None, [os.environ.get("PYTHONPATH")])]
)
settings.register_profile("any machine, however busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine, however busy")

Make = Callable[[Path], object]


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Timings of networks are not those of whoever runs the tests, and are not left to them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines that autofr logs while the test runs, as they come."""
    handler = LinesHandler()
    with attached(handler):
        yield handler.lines


KINDS = ("unit", "search", "distributed", "kill")
"""Marks of which every test has one: see pyproject.toml."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as ``unit`` what has no other kind, and write the kind into JUnit XML files."""
    for item in items:
        kinds = [kind for kind in KINDS if item.get_closest_marker(kind)]
        if len(kinds) > 1:
            raise pytest.UsageError(f"{item.nodeid} is marked as {' and '.join(kinds)}; a test is of one kind")
        if not kinds:
            item.add_marker("unit")
        item.user_properties.append(("kind", (kinds or ["unit"])[0]))  # for experiments/suite


@pytest.fixture(autouse=True)
def no_training_in_units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test without a mark fails where it trains, here or in a process that it starts."""
    if request.node.get_closest_marker("unit"):
        monkeypatch.setenv(processes.NO_TRAINING, "1")
        processes.forbid_training(monkeypatch.setattr)


@pytest.fixture(autouse=True)
def no_process_left() -> Iterator[None]:
    """What a failed test leaves running, or stopped, is killed."""
    yield
    processes.close_all()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Make], Path]:
    """Make a folder, by name, once a session, whatever the number of pytest's workers. Tests read it; those that
    change something take a copy."""
    base = tmp_path_factory.getbasetemp()
    base = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"

    def made(name: str, make: Make) -> Path:
        base.mkdir(exist_ok=True)
        folder = base / name
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (base / f"{name}.made").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                (base / f"{name}.made").touch()
        return folder

    return made


@pytest.fixture(scope="session")
def mlflow_store(made_once: Callable[[str, Make], Path]) -> Callable[[Path], None]:
    """Put an empty MLflow store into a folder: a copy of one, since MLflow takes seconds to make its tables."""

    def make(folder: Path) -> None:
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    def put(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(made_once("mlflow", make) / "mlflow.db", folder / "mlflow.db")

    return put


@pytest.fixture(scope="session")
def patience() -> Iterator[None]:
    """MLflow's process may take as long as it takes: on a busy machine that is long."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LONGEST", "SILENT", "SLOW", "ABANDONED"):
            patch.setattr(f"autofr.tracking.tracker.{name}", processes.PATIENCE)
        patch.setattr("autofr.studies.follower.LONGEST", processes.PATIENCE)
        yield


def write_folder(root: Path, identities: int = 8, images: int = 4, size: int = 48) -> Path:
    """Drawn faces as ``root/IDENTITY/IMAGE.png``, with ``root_landmarks.npz`` beside it."""
    faces = synthetic_faces(identities, images, size, seed=3)
    assert faces.landmarks is not None
    pixels = faces.read(torch.arange(len(faces)))
    for name, image in zip(faces.names, pixels, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / name)
    np.savez(
        root.with_name(root.name + "_landmarks.npz"), names=np.array(faces.names), landmarks=faces.landmarks.numpy()
    )
    return root


@pytest.fixture(scope="session")
def write_faces() -> Callable[..., Path]:
    """:func:`write_folder`, for fixtures of a wider scope."""
    return write_folder


@pytest.fixture
def make_folder() -> Callable[..., Path]:
    """:func:`write_folder`, for tests that need another size."""
    return write_folder


def write_ijb(root: Path) -> Path:
    """Six photographs in three templates of an IJB set; a face's five points, marked in colours, are the template's,
    moved and doubled in size."""
    (root / "meta").mkdir(parents=True)
    (root / "loose_crop").mkdir()
    points, faces = [], []
    for i in range(6):
        five = TEMPLATE * 2 + [10 + i, 20]
        numbers = " ".join(f"{v:.3f}" for v in five.ravel())
        points.append(f"{i + 1}.jpg {numbers} 0.{90 + i}")
        faces.append(f"{i + 1}.jpg {100 + i // 2} {i}")
        pixels = np.zeros((260, 260, 3), dtype=np.uint8)
        for (x, y), colour in zip(five.round().astype(int), np.eye(5, 3) * 255, strict=True):
            pixels[y - 6 : y + 7, x - 6 : x + 7] = colour
        Image.fromarray(pixels).save(root / "loose_crop" / f"{i + 1}.jpg", quality=95)
    (root / "meta" / "ijbc_name_5pts_score.txt").write_text("\n".join(points) + "\n")
    (root / "meta" / "ijbc_face_tid_mid.txt").write_text("\n".join(faces) + "\n")
    (root / "meta" / "ijbc_template_pair_label.txt").write_text("100 101 1\n100 102 0\n101 102 0\n")
    return root


@pytest.fixture
def make_ijb() -> Callable[[Path], Path]:
    """:func:`write_ijb`."""
    return write_ijb


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A face folder of 8 drawn identities, 4 images each, 48 pixels, with landmarks beside it."""
    return write_folder(tmp_path / "faces")


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """The real face sets: ``$AUTOFR_FACES``, or ``../shared/faces`` beside the checkout."""
    root = Path(os.environ.get("AUTOFR_FACES", REPOSITORY.parent / "shared" / "faces"))
    if not (root / "lfw_pairs.txt").is_file():
        pytest.skip(f"no real faces at {root}; set AUTOFR_FACES")
    return root


@pytest.fixture(scope="session")
def tiny_faces() -> Faces:
    """12 drawn identities, 4 images each, 32 pixels: a search on them takes a second."""
    return synthetic_faces(12, 4, 32, seed=5)


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Settings of a search on ``tiny_faces`` that takes a second."""
    return {
        "epochs": 4,
        "batch_size": 8,
        "backbone": "ir_mini-w0.25",
        "embedding_dim": 16,
        "validation_identities": 4,
        "fmr": 0.1,
        "device": "cpu",
        "tracking": False,
        "progress": False,
    }


@pytest.fixture(scope="session")
def comparable() -> Callable[[Path], list[dict[str, Any]]]:
    """The journal of a run without what may differ: wall time."""
    return journal_lines


@pytest.fixture(scope="session")
def same_outcome() -> Callable[[Path, Path], bool]:
    """Whether two runs have the same journal and the same final weights, bit for bit."""

    def same(a: Path, b: Path) -> bool:
        one, two = (load_file(d / "model" / "model.safetensors") for d in (a, b))
        return journal_lines(a) == journal_lines(b) and all(torch.equal(one[name], two[name]) for name in one)

    return same
