"""Every parser that a stranger's file can reach: what it reads, something whole, and how that is broken."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from autofr.testing.fuzzing import breaking

Parse = Callable[[Any], Any]


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: what it parses.
        whole: something that it accepts.
        broken: what it is handed.
        prepare: given an empty folder, what writes a content there and parses it.
        errors: besides ``AutofrError``, what it says that it raises.
    """

    name: str
    whole: Any
    broken: st.SearchStrategy[Any]
    prepare: Callable[[Path], Parse]
    errors: tuple[type[Exception], ...] = ()


def _written(
    name: str, parse: Callable[[Path], Any], others: dict[str, bytes] | None = None
) -> Callable[[Path], Parse]:
    """Write a content to a file called ``name``, beside ``others``, and parse that file."""

    def prepare(folder: Path) -> Parse:
        for other, content in (others or {}).items():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(content)

        def run(content: bytes) -> Any:
            (folder / name).write_bytes(content)
            return parse(folder / name)

        return run

    return prepare


def _picture(kind: str, size: int = 24) -> bytes:
    x, y = np.mgrid[:size, :size]
    pixels = np.stack([x * 9 % 256, y * 7 % 256, (x + y) * 5 % 256], -1).astype(np.uint8)
    out = io.BytesIO()
    more: dict[str, Any] = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}
    Image.fromarray(pixels).save(out, kind, **({} if kind == "BMP" else more))
    return out.getvalue()


def _image() -> Target:
    from autofr.images import open_image

    wholes = [_picture(kind) for kind in ("JPEG", "PNG", "BMP", "WEBP")]
    broken = breaking.broken_bytes(wholes) | breaking.broken_bytes(wholes) | breaking.chunks(wholes[1])
    return Target("image", wholes[0], broken, _written("face.jpg", open_image), (OSError,))


def _bin() -> Target:
    from autofr.data.insightface_bin import read_bin

    pictures = [_picture("PNG", 8), _picture("JPEG", 8)]
    whole = ([np.frombuffer(p, dtype=np.uint8) for p in pictures], [True])
    plain = (pictures, [False])
    broken = breaking.pickled(whole) | breaking.pickled(plain)
    return Target("bin", pickle.dumps(whole, 4), broken, _written("lfw.bin", lambda path: read_bin(path, 8)))


def _rec() -> Target:
    from autofr.data.recordio import MAGIC, scan_records

    picture = _picture("JPEG", 8)

    def parse(path: Path) -> None:
        scan = scan_records(path)
        for place in range(len(scan.names)):
            scan.decode(place, 8)

    content = struct.pack("<IfQQ", 0, 3.0, 1, 0) + picture
    whole = struct.pack("<II", MAGIC, len(content)) + content + bytes(-len(content) % 4)
    return Target("rec", whole, breaking.records(picture), _written("train.rec", parse), (OSError,))


def _landmarks() -> Target:
    from autofr.masks import read_landmarks

    arrays = {
        "names": np.array(["a/1.jpg", "b/2.jpg"]),
        "landmarks": np.ones((2, 68, 2), dtype=np.float16),
        "detected": np.array([True, False]),
        "scheme": np.array("ibug68"),
    }
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return Target("landmarks", out.getvalue(), breaking.npz(arrays), _written("x.npz", read_landmarks))


def _embeddings() -> Target:
    from autofr.evaluation.stored import read_embeddings, read_labels

    arrays = {
        "vectors": np.ones((3, 4), dtype=np.float32),
        "labels": np.array([1, 2, 3]),
        "names": np.array(["a/b", "c/d"]),
    }
    wholes = []
    for array in arrays.values():
        out = io.BytesIO()
        np.save(out, array)
        wholes.append(out.getvalue())
    either = _written("x.npy", lambda path: read_embeddings(path))
    labels = _written("y.npy", lambda path: read_labels(path))

    def prepare(folder: Path) -> Parse:
        first, second = either(folder), labels(folder)

        def run(content: bytes) -> None:
            from autofr.exceptions import AutofrError

            try:
                first(content)
            except AutofrError:
                second(content)

        return run

    return Target("npy", wholes[0], breaking.broken_bytes(wholes), prepare)


def _bank() -> Target:
    from autofr.search.bank_file import load_bank

    tensors = {
        "a|backbone.w": torch.ones(2, 3),
        "a|centres": torch.ones(4, dtype=torch.float16),
        "b|n": torch.tensor(3),
    }
    whole = save(tensors, metadata={"origins": json.dumps({"a": [1, 2], "b": [-1, -1]})})
    return Target("checkpoint", whole, breaking.safetensors(whole), _written("gen-0001.safetensors", load_bank))


def _model() -> Target:
    """A network of its own: weights and configuration are both broken."""
    from autofr.backbones import create_backbone
    from autofr.embedder import load_embedder

    config = {"backbone": "ir_mini-w0.25", "image_size": 16, "embedding_dim": 4}
    net = create_backbone("ir_mini-w0.25", 16, 4)
    weights = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    broken = st.tuples(
        st.just(weights) | breaking.safetensors(weights), breaking.encoded(_as_json, config)
    ) | st.tuples(breaking.safetensors(weights), st.just(_as_json(config)))

    def prepare(folder: Path) -> Parse:
        def run(content: tuple[bytes, bytes]) -> None:
            (folder / "model.safetensors").write_bytes(content[0])
            (folder / "config.json").write_bytes(content[1])
            load_embedder(folder)

        return run

    return Target("model", (weights, _as_json(config)), broken, prepare)


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _run_files() -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration and a journal's line that fit each other."""
    from autofr.search.record import Record
    from autofr.training.recipe import Recipe

    config = {
        "version": "0",
        "run": {"id": "0" * 32, "started": 1.0},
        "space": {"name": "arcface_margins", "options": {"loss": ["ArcFace(m=0.1)", "ArcFace(m=0.3)"]}, "ranges": {}},
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
        assignments=[{"loss": 0}, {"loss": 1}],
        keys=["ir_mini", "ir_mini"],
        parents=[None, None],
        losses=[1.0, None],
        scores=[{"sfr": 0.5, "mfr": None}, {"sfr": None, "mfr": None}],
        rewards=[-0.5, None],
        winner=0,
        alpha={"loss": [0.5, 0.5]},
        policy={"told": 1},
        lr_scale=1.0,
        seconds=1.0,
        drawn=[{"loss": "ArcFace(m=0.1)"}, {"loss": "ArcFace(m=0.3)"}],
        troubles=[None, "diverged"],
        finished=2.0,
        checkpoint="gen-0000.safetensors",
        sha256="0" * 64,
    )
    return config, dataclasses.asdict(record)


def _read_run(path: Path) -> None:
    """What every command reads of a run directory."""
    from autofr.report import stored_arguments
    from autofr.search.config import resume_command
    from autofr.search.result import SearchResult

    result = SearchResult(path.parent)
    resume_command(path.parent, result.config)
    if result.records:
        result.report()
    stored_arguments(path.parent, "search", "arcface_margins")


def _journal() -> Target:
    config, line = _run_files()
    prepare = _written("journal.jsonl", _read_run, {"config.json": _as_json(config)})
    from autofr.search.record import Record

    return Target("journal", Record(**line).to_line(), breaking.json_lines(line, 2), prepare)


def _config() -> Target:
    from autofr.search.record import Record

    config, line = _run_files()
    prepare = _written("config.json", _read_run, {"journal.jsonl": Record(**line).to_line()})
    return Target("configuration", _as_json(config), breaking.encoded(_as_json, config), prepare)


def _recovery() -> Target:
    """A resume's first step, which writes: journal and checkpoints as they are found."""
    from autofr.search.journal import Journal

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


def _space() -> Target:
    """What ``autofr spaces`` reads of a space file: it is not executed."""
    from autofr.spaces import _first_line

    whole = (
        b'"""Margins.\n\nMore."""\nfrom autofr import Choice\nspace = 1\nimport os; os.system("touch /tmp/executed")\n'
    )
    deep = st.builds(
        lambda n, b: b * n, st.integers(1, 3000), st.sampled_from([b"(", b"[", b"-", b"not ", b"{", b"f'{"])
    )
    return Target("space docstring", whole, breaking.broken_bytes([whole]) | deep, _written("mine.py", _first_line))


def _specs() -> Target:
    """Losses and policies as the command line, or a run's configuration, names them."""
    from autofr.losses import create_loss
    from autofr.masks import landmark_scheme
    from autofr.search.policies import create_policy
    from autofr.spaces import load_space

    space = load_space("arcface_margins")

    def prepare(folder: Path) -> Parse:
        del folder
        from autofr.exceptions import AutofrError

        def run(text: str) -> None:
            for parse in (create_loss, lambda t: create_policy(t, space, 0), landmark_scheme):
                try:
                    parse(text)
                except AutofrError as error:
                    if parse is landmark_scheme:
                        raise
                    del error

        return run

    piece = st.sampled_from(
        [
            "arcface",
            "ArcFace",
            "lfs",
            "optuna",
            "combined",
            ":",
            "(",
            ")",
            "=",
            ",",
            "m",
            "s",
            "lr",
            "0.3",
            "1e999",
            "-1",
            "None",
        ]
        + [
            "__import__('os')",
            "9" * 400,
            "[1]",
            "5:",
            "68:0,1",
            "points5",
            " ",
            "{}",
            "True",
            "TPESampler",
            "seed",
            "\n",
        ]
    )
    return Target(
        "names with settings", "points5", st.lists(piece, max_size=8).map("".join) | st.text(max_size=20), prepare
    )


def _tables() -> Target:
    """Lists of pairs, attributes and IJB's tables."""
    from autofr.data.ijb import _pair_table, _table
    from autofr.evaluation.protocols.attributes import read_attributes
    from autofr.evaluation.protocols.pairs import read_pairs
    from autofr.exceptions import AutofrError

    names = [f"{who}/{who}_{i:04d}.jpg" for who in ("Ann", "Bob") for i in (1, 2, 3)]
    pairs = b"".join(b"Ann\t1\t2\nBob\t1\t3\nAnn\t1\tBob\t2\nAnn\t3\tBob\t1\n" for _ in range(10))
    attributes = b"name,masked,wild\n" + b"".join(f"{name},1,0\n".encode() for name in names)
    table = b"1.jpg 1.5 2.5\n2.jpg 3 4\n"
    triples = b"1 2 1\n3 4 0\n"
    parsers: list[Callable[[Path], Any]] = [
        lambda path: read_pairs(path, names),
        lambda path: read_attributes(path, names, ["wild"]),
        lambda path: _table(path, 2),
        _pair_table,
    ]

    def prepare(folder: Path) -> Parse:
        def run(content: bytes) -> None:
            (folder / "list.txt").write_bytes(content)
            refused: list[AutofrError] = []
            for parse in parsers:
                try:
                    parse(folder / "list.txt")
                except AutofrError as error:
                    refused.append(error)
            if len(refused) == len(parsers):
                raise refused[-1]

        return run

    return Target("tables", triples, breaking.broken_bytes([pairs, attributes, table, triples]), prepare)


def _search_space() -> Target:
    from autofr.search.policies.nni_space import read_search_space

    whole = {"loss": {"_type": "choice", "_value": ["arcface:0.3", "ArcFace(m=0.5)", 3, {"_name": "x"}]}}
    return Target(
        "NNI search space", _as_json({"a": {"_type": "choice", "_value": [1, 2]}}), breaking.encoded(_as_json, whole),
        _written("space.json", read_search_space),
    )  # fmt: skip


def _report() -> Target:
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
        _as_json(whole),
        breaking.encoded(_as_json, whole),
        _written(REPORT, lambda path: read_report(path.parent)),
    )


TARGETS: dict[str, Callable[[], Target]] = {
    "checkpoint": _bank,
    "model": _model,
    "journal": _journal,
    "configuration": _config,
    "recovery": _recovery,
    "bin": _bin,
    "rec": _rec,
    "landmarks": _landmarks,
    "npy": _embeddings,
    "image": _image,
    "space": _space,
    "names": _specs,
    "tables": _tables,
    "nni": _search_space,
    "report": _report,
}
"""What makes each target, by name."""
