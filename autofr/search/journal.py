"""Committed generations: what makes a search resumable, and the one truth about what it did.

A run directory holds::

    config.json          what was asked for, resolved
    journal.jsonl        one line a committed generation
    checkpoints/         gen-0007.safetensors: the weight bank after generation 7
    model/               the best network, when the search is done

A generation counts when its line is in the journal. Its checkpoint is written and made durable first; the line, with
the checkpoint's hash, second; checkpoints that are no longer needed go last. So at any instant the last whole line
names a checkpoint that exists.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autofr.exceptions import AutofrError
from autofr.files import sha256, sync_folder, write_durably
from autofr.search.population import Entry, State, WeightBank
from autofr.spaces import Assignment


@dataclass(frozen=True)
class Record:
    """One committed generation. Lists are by member.

    Attributes:
        generation: from 0.
        epoch: epochs trained by the end of it.
        assignments: what each member drew, and ``drawn``, by name (empty in journals of older versions).
        keys: structural key of each member's weights.
        parents: member of the generation before whose weights each continued; ``None``: initial weights, or older.
        losses: mean training loss; ``None``: diverged.
        scores: ``sfr`` and ``mfr`` of each; ``before`` has those of the initial weights, in generation 0 only.
        rewards: higher is better; ``None``: diverged.
        winner: the member whose weights the others of its key continue.
        alpha: probabilities after the generation, by dimension.
        policy: the policy's state.
        lr_scale: factor on the learning rate, 1 or (after a rollback) 0.5.
        seconds: wall time.
        checkpoint, sha256: file of the weight bank, and its hash.
    """

    generation: int
    epoch: float
    assignments: list[Assignment]
    keys: list[str]
    parents: list[int | None]
    losses: list[float | None]
    scores: list[dict[str, float | None]]
    rewards: list[float | None]
    winner: int
    alpha: dict[str, list[float]]
    policy: dict[str, Any]
    lr_scale: float
    seconds: float
    before: dict[str, float | None] | None = None
    drawn: list[dict[str, str]] = field(default_factory=list)
    checkpoint: str = ""
    sha256: str = ""


class Journal:
    """The journal of one run directory.

    Args:
        run_dir: an existing directory.

    Attributes:
        records: committed generations, oldest first.
        notes: what was found broken and left out.

    Raises:
        AutofrError: a line in the middle cannot be read.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.path = run_dir / "journal.jsonl"
        self.checkpoints = run_dir / "checkpoints"
        self.notes: list[str] = []
        self.records: list[Record] = self._read() if self.path.exists() else []

    def _read(self) -> list[Record]:
        lines = self.path.read_bytes().split(b"\n")
        if lines.pop():
            self.notes.append("the journal's last line was cut short by a crash: left out")
        records = []
        for number, line in enumerate(lines):
            try:
                records.append(Record(**json.loads(line)))
            except (ValueError, TypeError) as error:
                raise AutofrError(f"{self.path}, line {number + 1} is no record ({error}); restore the file") from error
        return records

    @property
    def next_generation(self) -> int:
        return len(self.records)

    def best(self) -> Record:
        """The generation whose winner has the highest reward; the earliest of equals."""
        return max(self.records, key=_by_reward)

    def best_bank(self) -> tuple[Record, WeightBank]:
        """The best generation whose checkpoint is whole, and its weights.

        Raises:
            AutofrError: no generation is committed, or no checkpoint of one is whole.
        """
        for record in sorted(self.records, key=_by_reward, reverse=True):
            if self._whole(record):
                return record, load_bank(self.checkpoints / record.checkpoint)
        raise AutofrError(f"run {self.run_dir} has no whole checkpoint; go on with --resume {self.run_dir}")

    def commit(self, record: Record, bank: WeightBank) -> Record:
        """Make a generation count: checkpoint, then record, then clean-up, each durable before the next."""
        self.checkpoints.mkdir(exist_ok=True)
        name = f"gen-{record.generation:04d}.safetensors"
        write_durably(self.checkpoints / name, lambda temporary: save_bank(temporary, bank))
        values = asdict(record) | {"checkpoint": name, "sha256": sha256(self.checkpoints / name)}
        record = Record(**values)
        with open(self.path, "ab") as file:
            file.write(json.dumps(asdict(record), allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.run_dir)
        self.records.append(record)
        self._clean_up()
        return record

    def _clean_up(self) -> None:
        kept = {r.checkpoint for r in self.records[-2:]} | {self.best().checkpoint}
        if len(self.records) > 1:  # should the newest be damaged, the best of the others is the best
            kept.add(max(self.records[:-1], key=_by_reward).checkpoint)
        for file in self.checkpoints.iterdir():
            if file.name not in kept:
                file.unlink()

    def recover(self) -> WeightBank:
        """The bank of the last generation whose checkpoint is whole. Later records are dropped, and named in
        ``notes``: their generations are run again.

        Raises:
            AutofrError: no checkpoint is whole.
        """
        records = list(self.records)
        while records and not self._whole(records[-1]):
            self.notes.append(f"checkpoint {records[-1].checkpoint} is missing or damaged: generation dropped")
            records.pop()
        if self.records and not records:
            raise AutofrError(f"no checkpoint in {self.checkpoints} is whole; start again in another --run-dir")
        self.records = records
        if self.path.exists():
            lines = "".join(json.dumps(asdict(r), allow_nan=False) + "\n" for r in records)
            if lines.encode() != self.path.read_bytes():
                write_durably(self.path, lambda temporary: _write(temporary, lines))
        return load_bank(self.checkpoints / records[-1].checkpoint) if records else WeightBank()

    def winner_state(self, record: Record) -> State | None:
        """The winner's state of a committed generation; ``None`` if its checkpoint was cleaned up or is damaged."""
        if not self._whole(record):
            return None
        return load_bank(self.checkpoints / record.checkpoint).entries[record.keys[record.winner]].state

    def _whole(self, record: Record) -> bool:
        file = self.checkpoints / record.checkpoint
        return file.is_file() and sha256(file) == record.sha256


def _by_reward(record: Record) -> tuple[float, int]:
    reward = record.rewards[record.winner]
    return (-math.inf if reward is None else reward), -record.generation


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def save_bank(path: Path, bank: WeightBank) -> None:
    """Write a bank as one safetensors file: tensors named ``KEY|NAME``, origins in the header."""
    tensors = {f"{key}|{name}": t.cpu() for key, entry in bank.entries.items() for name, t in entry.state.items()}
    origins = {key: [entry.generation, entry.member] for key, entry in bank.entries.items()}
    save_file(tensors, path, metadata={"origins": json.dumps(origins)})


def load_bank(path: Path) -> WeightBank:
    """Read a bank that :func:`save_bank` wrote.

    Raises:
        AutofrError: it is no such file.
    """
    bank = WeightBank()
    try:
        with safe_open(path, framework="pt") as file:
            for key, (generation, member) in json.loads(file.metadata()["origins"]).items():
                bank.entries[key] = Entry({}, generation, member)
            for full_name in list(file.keys()):
                key, name = full_name.split("|", 1)
                bank.entries[key].state[name] = torch.as_tensor(file.get_tensor(full_name))
    except Exception as error:
        raise AutofrError(f"{path} is no checkpoint of a search: {error}") from error
    return bank
