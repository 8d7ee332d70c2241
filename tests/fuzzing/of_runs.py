"""Files of a run, of models, evaluations and studies."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save

from tests.fuzzing import breaking
from tests.fuzzing.target import Parse, Target, as_json, written


def bank() -> Target:
    from autofr.runs.bank_file import load_bank

    tensors = {
        "a|backbone.w": torch.ones(2, 3),
        "a|centres": torch.ones(4, dtype=torch.float16),
        "b|n": torch.tensor(3),
    }
    tensors |= {"pareto 0|w": torch.ones(2), "best a|w": torch.ones(1)}
    point = {"backbone": "a", "error": 0.5, "cost": 1e6, "generation": 1, "member": 0}
    header = {"origins": {"a": [1, 2], "b": [-1, -1]}, "pareto": [point]}
    whole = save(tensors, metadata={"bank": json.dumps(header)})
    return Target("checkpoint", whole, breaking.safetensors(whole), written("gen-0001.safetensors", load_bank))


def model() -> Target:
    """A network of its own: weights and configuration are both broken."""
    from autofr.backbones import create_backbone
    from autofr.runs.network import load_embedder

    name = "iresnet:depth=1,width=0.5,kernel=3,resolution=16,widths=16-32,stem=2"
    config = {"backbone": name, "image_size": 16, "embedding_dim": 4}
    net = create_backbone(name, 16, 4)
    weights = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    broken = st.tuples(st.just(weights) | breaking.safetensors(weights), breaking.encoded(as_json, config)) | st.tuples(
        breaking.safetensors(weights), st.just(as_json(config))
    )

    def prepare(folder: Path) -> Parse:
        def run(content: tuple[bytes, bytes]) -> None:
            (folder / "model.safetensors").write_bytes(content[0])
            (folder / "config.json").write_bytes(content[1])
            load_embedder(folder)

        return run

    return Target("model", (weights, as_json(config)), broken, prepare)


def _run_files() -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration and a journal's line that fit each other."""
    from autofr.runs.record import Record
    from autofr.runs.result import FORMAT
    from autofr.training.recipe import Recipe

    config = {
        "format": FORMAT,
        "version": "0",
        "run": {"id": "0" * 32, "started": 1.0},
        "space": {
            "name": "arcface_margins",
            "options": {"loss": ["ArcFace(m=0.1)", "ArcFace(m=0.3)"], "width": ["0.5", "1.0"]},
            "ranges": {},
            "middles": {},
            "family": "iresnet:width=1.0",
            "constraints": ["MaxFLOPs(1e+06)"],
            "allowed": [[0], [1]],
        },
        "trade": {"cost": "flops", "prefer": "fast"},
        "data": {"source": None, "landmarks": None, "landmark_scheme": None, "images": 9, "identities": 3}
        | {"validation_identities": 2, "fingerprint": "f"},
        "masks": 1,
        "policies": 1,
        "policy": "thompson",
        "population": 2,
        "seed": 0,
        "device": "cpu",
        "recipe": Recipe().to_json(),
    }
    record = Record(
        generation=0,
        epoch=1.0,
        assignments=[{"loss": 0, "width": 1}, {"loss": 1, "width": 0}],
        keys=["ir_mini", "ir_mini"],
        parents=[None, None],
        losses=[1.0, None],
        scores=[{"sfr": 0.5, "mfr": None}, {"sfr": None, "mfr": None}],
        rewards=[-0.5, None],
        winner=0,
        alpha={"loss": [0.5, 0.5], "width": [0.4, 0.6]},
        policy={"told": 1},
        lr_scale=1.0,
        seconds=1.0,
        drawn=[{"loss": "ArcFace(m=0.1)", "width": "1.0"}, {"loss": "ArcFace(m=0.3)", "width": "0.5"}],
        networks=["iresnet:width=1.0", "iresnet:width=0.5"],
        costs=[1e6, 5e5],
        troubles=[None, "diverged"],
        finished=2.0,
        trained=2.0,
        checkpoint="gen-0000.safetensors",
        sha256="0" * 64,
    )
    return config, dataclasses.asdict(record)


def _read_run(path: Path) -> None:
    """What every command reads of a run directory."""
    from autofr.engine.request import resume_command, stored_arguments
    from autofr.runs.result import SearchResult
    from autofr.training.recipe import Recipe

    result = SearchResult(path.parent)
    resume_command(path.parent, result.config)
    if result.records:
        result.report()
    asked = stored_arguments(path.parent, "search", "arcface_margins")
    Recipe.for_images(
        asked["image_size"], **{name: asked[name] for name in Recipe.__dataclass_fields__ if name in asked}
    )


def journal() -> Target:
    config, line = _run_files()
    prepare = written("journal.jsonl", _read_run, {"config.json": as_json(config)})
    from autofr.runs.record import Record

    return Target("journal", Record(**line).to_line(), breaking.json_lines(line, 2), prepare)


def config() -> Target:
    from autofr.runs.record import Record

    config, line = _run_files()
    prepare = written("config.json", _read_run, {"journal.jsonl": Record(**line).to_line()})
    return Target("configuration", as_json(config), breaking.encoded(as_json, config), prepare)


def recovery() -> Target:
    """A resume's first step, which writes: journal and checkpoints as they are found."""
    from autofr.runs.journal import Journal

    _, line = _run_files()

    def prepare(folder: Path) -> Parse:
        def run(content: bytes) -> None:
            shutil.rmtree(folder / "run", ignore_errors=True)
            (folder / "run" / "checkpoints").mkdir(parents=True)
            (folder / "run" / "journal.jsonl").write_bytes(content)
            (folder / "run" / "checkpoints" / "gen-0000.safetensors").write_bytes(content)
            Journal(folder / "run").recover()

        return run

    return Target("recovery", b"", breaking.json_lines(line, 2), prepare)


def report() -> Target:
    """What ``autofr compare`` and ``autofr evaluate`` read of an evaluation's report."""
    from autofr.evaluation.report import REPORT, VERSION, read_report

    row = dict.fromkeys(("genuine", "impostor", "rates", "eer", "d_prime", "det", "histogram", "worst"), 1)
    whole = {
        "version": VERSION,
        "model": {"name": "m"},
        "benchmark": {"protocol": "all", "data": "x", "fingerprint": "f"},
        "results": {"standard": row},
        "summary": {},
        "flip": True,
        "masks": None,
        "notes": [],
    }
    return Target(
        "report",
        as_json(whole),
        breaking.encoded(as_json, whole),
        written(REPORT, lambda path: read_report(path.parent)),
    )


def study() -> Target:
    """What ``autofr study --resume`` reads of a study's plan."""
    from autofr.runs.result import FORMAT
    from autofr.studies.plan import FILE, Plan, vary_json

    whole = Plan(
        id="0" * 32,
        started=1.0,
        space="arcface_margins",
        data=None,
        landmarks=None,
        landmark_scheme=None,
        vary=vary_json({"lr": ["0.1..0.2"], "batch_size": [8, 16]}),
        trials=3,
        sampler="TPESampler",
        pruner="MedianPruner",
        seed=0,
        settings={"epochs": 2},
        about={"images": ""},
    )

    def read(path: Path) -> None:
        plan = Plan.load(path.parent)
        plan.make_pruner()
        plan.make_sampler(1)
        plan.recipe(100)

    stored = {"format": FORMAT, **dataclasses.asdict(whole)}
    return Target("study", as_json(stored), breaking.encoded(as_json, stored), written(FILE, read))
