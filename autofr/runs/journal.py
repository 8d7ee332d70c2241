"""Committed generations: what makes a search resumable, and the one truth about what it did.

A run directory holds::

    config.json          what was asked for, resolved
    journal.jsonl        one line a committed generation
    journal.copy.jsonl   the same once more: a line that is damaged in one of them is read from the other
    checkpoints/         gen-0007.safetensors: the weight bank after generation 7; where ranks share the class centres,
                         gen-0007.shard-0-of-2.safetensors: those of each
    lock                 held by the process that works here
    model/               the best network, when the search is done

A generation counts when its line is in the journal. Its checkpoint is written and made durable first; the line, with
the checkpoint's hash, second; checkpoints that are no longer needed go last. So at any instant the last whole line
names a checkpoint that exists. Durable: the file's content and its name in the folder have both been synced to disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autofr.compute.mesh import ALONE, Mesh
from autofr.exceptions import AutofrError, DamagedFileError
from autofr.io.files import append_durably, sha256, write_bytes, write_durably
from autofr.runs.bank import Entry, WeightBank
from autofr.runs.bank_file import load_bank, save_bank, save_shards, shards_are_whole
from autofr.runs.record import Record
from autofr.system.signals import held

MAX_LINE, MAX_JOURNAL = 2**26, 2**32
"""Bytes of a generation's line and of a journal; what is longer was not written by a search."""

_FIRST = "gen-0000.safetensors"
_OURS = re.compile(r"gen-\d+(\.shard-\d+-of-\d+)?\.safetensors(\.tmp)?|\.tmp\w+")
"""Names of checkpoints, and of what a killed process left of one: ours, and safetensors' own."""


class Journal:
    """The journal of one run directory.

    Args:
        run_dir: an existing directory.
        mesh: whose lead writes; its partners write their class centres.

    Attributes:
        records: committed generations, oldest first: those before the first line that cannot be read.
        notes: what was found broken and left out.
        damage: what is wrong with a line that was whole once; ``None``: nothing. :meth:`recover` goes back to the
            generations before it.
    """

    def __init__(self, run_dir: Path, mesh: Mesh = ALONE) -> None:
        self.run_dir, self.mesh = run_dir, mesh
        self.path, self.copy = run_dir / "journal.jsonl", run_dir / "journal.copy.jsonl"
        self.checkpoints = run_dir / "checkpoints"
        self.notes: list[str] = []
        self.damage: str | None = None
        self.records = self._read()

    def _read(self) -> list[Record]:
        lines, copies = _lines(self.path), _lines(self.copy)
        records: list[Record] = []
        for number in range(max(len(lines), len(copies))):
            line = lines[number] if number < len(lines) else b""
            record, told = _record(line, number)
            torn = number == len(lines) - 1 and not line.endswith(b"\n")
            if record is None and number < len(copies):
                record, _ = _record(copies[number], number)
                if record is not None:
                    self.notes.append(f"{self.path}, line {number + 1}: {told}; read from {self.copy.name}")
            if record is not None:
                records.append(record)
                continue
            if torn:
                self.notes.append("the journal's last line was cut short by a crash: left out")
            elif line:  # else a copy's torn end, of a line that never counted
                self.damage = f"{self.path}, line {number + 1} is no record ({told})"
            break
        return records

    def sound(self) -> Journal:
        """This journal, if no line is damaged.

        Raises:
            DamagedFileError: one is.
        """
        if self.damage is not None:
            raise DamagedFileError(
                f"{self.damage}; restore the file, or see with --resume {self.run_dir} what can be gone on from"
            )
        return self

    @property
    def next_generation(self) -> int:
        return len(self.records)

    def best(self) -> Record:
        """The generation whose winner has the highest reward; the earliest of equals."""
        return max(self.records, key=_by_reward)

    def best_bank(self) -> tuple[Record, WeightBank]:
        """The best generation whose checkpoint is whole, and its weights. ``notes`` names a better one that is not.

        Raises:
            AutofrError: no generation is committed, or no checkpoint of one is whole.
        """
        record = self._first_whole(sorted(self.records, key=_by_reward, reverse=True))
        if record != self.best():
            best = self.best().checkpoint
            self.notes.append(f"checkpoint {best} of the best generation is damaged: {record.checkpoint} taken")
        return record, load_bank(self.checkpoints / record.checkpoint)

    def newest_bank(self) -> WeightBank:
        """The bank of the newest generation whose checkpoint is whole.

        Raises:
            AutofrError: there is none.
        """
        return load_bank(self.checkpoints / self._first_whole(self.records[::-1]).checkpoint)

    def _first_whole(self, records: Sequence[Record]) -> Record:
        for record in records:
            if self.whole(record):
                return record
        raise AutofrError(f"run {self.run_dir} has no whole checkpoint; go on with --resume {self.run_dir}")

    def commit(self, record: Record, bank: WeightBank) -> Record:
        """Make a generation count: checkpoint, then record, then clean-up, each durable before the next. A signal to
        stop takes effect afterwards.

        Raises:
            OSError: it cannot be written (a full disk). ``records`` says whether the generation counts all the same:
                its line was written, and the copy's was not.
        """
        with held():
            name = f"gen-{record.generation:04d}.safetensors"
            self.checkpoints.mkdir(exist_ok=True)
            shards = save_shards(self.checkpoints / name, bank, self.mesh)
            if self.mesh.lead:
                write_durably(self.checkpoints / name, lambda temporary: save_bank(temporary, bank, shards))
                record = replace(record, checkpoint=name, sha256=sha256(self.checkpoints / name))
                append_durably(self.path, record.to_line())
                self.records.append(record)  # it counts, whatever becomes of the copy
                append_durably(self.copy, record.to_line())
                self._clean_up()
            record = self.mesh.said(record)
            if not self.mesh.lead:
                self.records.append(record)
            return record

    def _clean_up(self) -> None:
        kept = {r.checkpoint for r in kept_records(self.records)}
        newest = self.records[-1].checkpoint
        for file in self.checkpoints.iterdir():
            main = re.sub(r"\.shard-\d+-of-\d+", "", file.name)
            if _OURS.fullmatch(file.name) and main not in kept and file.name <= newest:
                file.unlink()

    def recover(self) -> WeightBank:
        """The bank of the last generation whose checkpoint is whole, with this rank's class centres. Later records are
        dropped, and named in ``notes``: their generations are run again. Dropped lines stay in
        ``journal.jsonl.damaged``.

        Raises:
            AutofrError: no checkpoint is whole.
        """
        self.mesh.agreed(self._repair if self.mesh.lead else lambda: None)
        if not self.mesh.lead:
            self.records = self._read()
        return load_bank(self.checkpoints / self.records[-1].checkpoint, self.mesh) if self.records else WeightBank()

    def _repair(self) -> None:
        """Leave nothing but what can be gone on from."""
        records = list(self.records)
        if self.damage is not None:
            self.notes.append(f"{self.damage}: the generations from there on are dropped")
        while records and not self.whole(records[-1]):
            self.notes.append(f"checkpoint {records[-1].checkpoint} is missing or damaged: generation dropped")
            records.pop()
        if not records and (self.records or self.damage is not None):
            told = "" if self.damage is None else f"{self.damage}, and "
            raise DamagedFileError(
                f"{told}no checkpoint in {self.checkpoints} of the generations before is whole; restore the file, or "
                "start again in another --run-dir"
            )
        later = [] if records else [p.name for p in self.checkpoints.glob("gen-*.safetensors") if p.name > _FIRST]
        if later:  # to begin anew would be to delete them
            raise AutofrError(f"{self.path} is empty, but {self.checkpoints} has {max(later)}; restore the journal")
        lines = b"".join(record.to_line() for record in records)
        damaged = self.damage is not None or len(records) < len(self.records)
        for path in (self.path, self.copy):
            if (path.read_bytes() if path.exists() else b"") != lines:
                if damaged and path.exists():
                    write_bytes(path.with_name(f"{path.name}.damaged"), path.read_bytes())
                write_bytes(path, lines)
        self.records, self.damage = records, None
        if records:
            self._clean_up()

    def winner(self, record: Record) -> Entry | None:
        """The winner's weights of a committed generation; ``None`` if its checkpoint was cleaned up or is damaged."""
        if not self.whole(record):
            return None
        return entry_of(load_bank(self.checkpoints / record.checkpoint), record)

    def whole(self, record: Record) -> bool:
        """Whether the checkpoint of ``record`` is there, and what was written."""
        file = self.checkpoints / record.checkpoint
        return file.is_file() and sha256(file) == record.sha256 and shards_are_whole(file)


def entry_of(bank: WeightBank, record: Record) -> Entry:
    """The winner's entry of the bank of its generation.

    Raises:
        AutofrError: it has none; the checkpoint is of another search.
    """
    key = record.keys[record.winner]
    if key not in bank.entries:
        raise AutofrError(f"checkpoint {record.checkpoint} has no weights of {key}, which the journal names")
    return bank.entries[key]


def _lines(path: Path) -> list[bytes]:
    """The lines of a journal, the last perhaps without its end; none, if there is no such file."""
    if not path.exists():
        return []
    if path.stat().st_size > MAX_JOURNAL:
        raise AutofrError(f"{path} is no journal: it has over {MAX_JOURNAL} bytes")
    return path.read_bytes().splitlines(keepends=True)


def _record(line: bytes, generation: int) -> tuple[Record | None, str]:
    """What a line says, or why it says nothing."""
    if not line.endswith(b"\n") or len(line) > MAX_LINE:
        return None, "it is missing" if not line else "it has no end"
    try:
        record = Record.from_line(line)
    except (ValueError, TypeError) as error:
        return None, str(error)
    return (record, "") if record.generation == generation else (None, f"it is of generation {record.generation}")


def kept_records(records: Sequence[Record]) -> list[Record]:
    """The generations whose weights are kept: the last two, and the best before the newest. Should the newest be
    damaged, the best of the others is the best."""
    kept = list(records[-2:])
    best = max(records[:-1], key=_by_reward, default=None)
    return kept if best is None or best in kept else [best, *kept]


def _by_reward(record: Record) -> tuple[float, int]:
    return record.reward, -record.generation
