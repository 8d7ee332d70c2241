import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autofr import AutofrError, DamagedFileError
from autofr.runs.bank import Entry, WeightBank
from autofr.runs.bank_file import load_bank, save_bank
from autofr.runs.journal import Journal
from autofr.runs.record import Record


def record(generation: int, reward: float | None = -0.5) -> Record:
    return Record(
        generation=generation,
        epoch=generation + 1.0,
        assignments=[{"loss": 0}, {"loss": 1}],
        keys=["a", "a"],
        parents=[None, None],
        losses=[1.0, None],
        scores=[{"sfr": 0.4, "mfr": 0.5}, {"sfr": None, "mfr": None}],
        rewards=[reward, None],
        winner=0,
        alpha={"loss": [0.5, 0.5]},
        policy={"rng": 2**100},
        lr_scale=1.0,
        seconds=1.0,
        drawn=[{"loss": "x"}, {"loss": "y"}],
        troubles=[None, "diverged: its loss is nan"] if reward is not None else [None, None],
        finished=2.0,
        networks=["a", "a"],
        trained=2.0,
    )


def bank(value: float) -> WeightBank:
    out = WeightBank()
    out.entries["a"] = Entry({"backbone.w": torch.full((2, 3), value), "n": torch.tensor(3)}, 4, 1)
    out.entries["timm/b"] = Entry({"centres": torch.arange(4.0)})
    return out


def filled(tmp_path: Path, rewards: list[float]) -> Journal:
    journal = Journal(tmp_path)
    for generation, reward in enumerate(rewards):
        journal.commit(record(generation, reward), bank(generation))
    return journal


def test_what_was_committed_is_read_back(tmp_path: Path) -> None:
    journal = filled(tmp_path, [-0.5, -0.4])
    again = Journal(tmp_path)
    assert again.records == journal.records
    assert again.next_generation == 2
    assert again.records[0].policy == {"rng": 2**100}
    assert torch.equal(again.recover().entries["a"].state["backbone.w"], torch.full((2, 3), 1.0))


def test_keeps_two_generations_and_the_best(tmp_path: Path) -> None:
    journal = filled(tmp_path, [-0.5, -0.2, -0.4, -0.3, -0.6])
    kept = sorted(p.name for p in journal.checkpoints.iterdir())
    assert kept == ["gen-0001.safetensors", "gen-0003.safetensors", "gen-0004.safetensors"]
    assert journal.best().generation == 1


def test_the_best_survives_when_a_better_newest_is_damaged(tmp_path: Path) -> None:
    filled(tmp_path, [-0.9, -0.3, -0.5, -0.4, -0.2])
    (tmp_path / "checkpoints" / "gen-0004.safetensors").write_bytes(b"damaged")
    journal = Journal(tmp_path)
    assert journal.best_bank()[0].generation == 1
    journal.recover()
    assert journal.best().generation == 1
    best = journal.best_bank()[1]
    assert torch.equal(best.entries["a"].state["backbone.w"], torch.full((2, 3), 1.0))
    for file in journal.checkpoints.iterdir():
        file.write_bytes(b"damaged")
    with pytest.raises(AutofrError, match="no whole checkpoint"):
        journal.best_bank()


def test_of_equal_generations_the_earliest_is_best(tmp_path: Path) -> None:
    assert filled(tmp_path, [-0.5, -0.3, -0.3]).best().generation == 1


def test_a_torn_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    filled(tmp_path, [-0.5, -0.4])
    whole = (tmp_path / "journal.jsonl").read_bytes()
    (tmp_path / "journal.jsonl").write_bytes(whole + b'{"generation": 2, "epo')
    journal = Journal(tmp_path)
    assert journal.next_generation == 2
    assert "cut short" in journal.notes[0]
    journal.recover()
    journal.commit(record(2), bank(2))
    assert Journal(tmp_path).next_generation == 3


def damaged(tmp_path: Path, line: int, files: tuple[str, ...] = ("journal.jsonl", "journal.copy.jsonl")) -> Journal:
    """A journal of four generations, one bit of one line flipped: a digit of its reward became another."""
    filled(tmp_path, [-0.5, -0.4, -0.3, -0.6])
    for name in files:
        lines = (tmp_path / name).read_bytes().split(b"\n")
        flipped = lines[line].replace(b'"rewards": [-0.', b'"rewards": [-1.')
        assert flipped != lines[line]
        lines[line] = flipped
        (tmp_path / name).write_bytes(b"\n".join(lines))
    return Journal(tmp_path)


@pytest.mark.parametrize("line", [0, 1, 3])
@pytest.mark.parametrize("file", ["journal.jsonl", "journal.copy.jsonl"])
def test_a_damaged_line_is_read_from_the_other_copy(tmp_path: Path, line: int, file: str) -> None:
    """However old it is: nothing is lost."""
    journal = damaged(tmp_path, line, (file,))
    whole = [r.rewards[0] for r in journal.sound().records]
    assert whole == [-0.5, -0.4, -0.3, -0.6]
    assert len(journal.notes) == (file == "journal.jsonl")
    assert torch.equal(journal.recover().entries["a"].state["backbone.w"], torch.full((2, 3), 3.0))
    assert (tmp_path / "journal.jsonl").read_bytes() == (tmp_path / "journal.copy.jsonl").read_bytes()
    assert not Journal(tmp_path).notes


@pytest.mark.parametrize("how", ["deleted", "emptied", "cut"])
def test_a_journal_that_is_gone_is_read_from_its_copy(tmp_path: Path, how: str) -> None:
    filled(tmp_path, [-0.5, -0.4, -0.3])
    path = tmp_path / "journal.jsonl"
    content = path.read_bytes()
    path.unlink() if how == "deleted" else path.write_bytes(b"" if how == "emptied" else content[:100])
    journal = Journal(tmp_path)
    assert journal.next_generation == 3
    journal.recover()
    assert path.read_bytes() == content


def test_checkpoints_without_a_journal_are_not_begun_anew(tmp_path: Path) -> None:
    """The first commit would delete them."""
    filled(tmp_path, [-0.5, -0.4, -0.3])
    for name in ("journal.jsonl", "journal.copy.jsonl"):
        (tmp_path / name).unlink()
    with pytest.raises(AutofrError, match=r"is empty, but .* has gen-0002.safetensors; restore the journal"):
        Journal(tmp_path).recover()
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_flipped_bit_in_the_last_line_goes_back_one_generation(tmp_path: Path) -> None:
    journal = damaged(tmp_path, 3)
    with pytest.raises(
        AutofrError, match=r"line 4 is no record \(its checksum does not fit\); restore the file, or see"
    ):
        journal.sound()
    before = (tmp_path / "journal.jsonl").read_bytes()
    assert torch.equal(journal.recover().entries["a"].state["backbone.w"], torch.full((2, 3), 2.0))
    assert journal.next_generation == Journal(tmp_path).sound().next_generation == 3
    assert "generations from there on are dropped" in journal.notes[0]
    assert (tmp_path / "journal.jsonl.damaged").read_bytes() == before
    journal.commit(record(3), bank(3))
    assert Journal(tmp_path).sound().next_generation == 4


def test_a_damaged_line_whose_checkpoints_are_gone_loses_nothing_more(tmp_path: Path) -> None:
    journal = damaged(tmp_path, 1)  # generation 0 is before it, and its checkpoint was cleaned up
    before = (tmp_path / "journal.jsonl").read_bytes()
    with pytest.raises(AutofrError, match=r"line 2 is no record .*no checkpoint in .* before is whole"):
        journal.recover()
    assert (tmp_path / "journal.jsonl").read_bytes() == before


def test_lines_without_a_checksum_are_no_records(tmp_path: Path) -> None:
    filled(tmp_path, [-0.5, -0.4])
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    bare = [{k: v for k, v in line.items() if k != "crc32"} for line in lines]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in bare))
    (tmp_path / "journal.copy.jsonl").unlink()
    with pytest.raises(DamagedFileError, match="its checksum does not fit"):
        Journal(tmp_path).sound()


def test_lines_out_of_order_are_no_journal(tmp_path: Path) -> None:
    filled(tmp_path, [-0.5, -0.4])
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.copy.jsonl").unlink()
    (tmp_path / "journal.jsonl").write_bytes(lines[1] + lines[0])
    assert "line 1 is no record (it is of generation 1)" in str(Journal(tmp_path).damage)


def test_a_best_generation_that_is_damaged_is_named(tmp_path: Path) -> None:
    journal = filled(tmp_path, [-0.5, -0.2, -0.4, -0.3])
    (tmp_path / "checkpoints" / "gen-0001.safetensors").write_bytes(b"")
    found, _ = journal.best_bank()
    assert found.generation == 3
    assert journal.notes == [
        "checkpoint gen-0001.safetensors of the best generation is damaged: gen-0003.safetensors taken"
    ]


@pytest.mark.parametrize("generations", [1, 3, 40])
def test_disk_use_does_not_grow(tmp_path: Path, generations: int) -> None:
    """Two generations and the best, whatever the length; what strangers put there is left alone."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "notes.txt").write_text("mine")
    journal = filled(tmp_path, [-1 / (1 + g % 7) for g in range(generations)])
    kept = [p.name for p in journal.checkpoints.iterdir()]
    assert "notes.txt" in kept
    assert len(kept) - 1 <= 3


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = filled(tmp_path, [-0.5])
    before = (tmp_path / "journal.jsonl").read_bytes()
    synced = os.fsync

    def fsync(descriptor: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(".jsonl"):
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        journal.commit(record(1), bank(1))
    assert (tmp_path / "journal.jsonl").read_bytes() == before
    assert journal.next_generation == Journal(tmp_path).next_generation == 1


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path) -> None:
    filled(tmp_path, [-0.5, -0.4, -0.3])
    path = tmp_path / "checkpoints" / "gen-0002.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    journal = Journal(tmp_path)
    assert torch.equal(journal.recover().entries["a"].state["backbone.w"], torch.full((2, 3), 1.0))
    assert journal.next_generation == 2
    assert "gen-0002.safetensors is missing or damaged" in journal.notes[0]
    assert Journal(tmp_path).next_generation == 2
    for file in (tmp_path / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(AutofrError, match="no checkpoint"):
        Journal(tmp_path).recover()


def test_a_crash_before_the_record_leaves_the_generation_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = filled(tmp_path, [-0.5])
    monkeypatch.setattr("autofr.runs.journal.sha256", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        journal.commit(record(1), bank(1))
    monkeypatch.undo()
    again = Journal(tmp_path)
    assert again.next_generation == 1
    assert torch.equal(again.recover().entries["a"].state["backbone.w"], torch.full((2, 3), 0.0))


def test_bank_round_trip(tmp_path: Path) -> None:
    save_bank(tmp_path / "b.safetensors", bank(7))
    found = load_bank(tmp_path / "b.safetensors").entries
    for key, entry in bank(7).entries.items():
        assert (found[key].generation, found[key].member) == (entry.generation, entry.member)
        assert found[key].state.keys() == entry.state.keys()
        assert all(torch.equal(found[key].state[n], t) for n, t in entry.state.items())
    huge = (2**32).to_bytes(8, "little") + b"{}"  # a header that claims 4 GiB
    for content in (b"no such thing", huge, b"", (tmp_path / "b.safetensors").read_bytes()[:-1]):
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(AutofrError, match="no checkpoint of a search"):
            load_bank(tmp_path / "x.safetensors")


def test_records_are_plain_json(tmp_path: Path) -> None:
    filled(tmp_path, [-0.5])
    line = json.loads((tmp_path / "journal.jsonl").read_text())
    line.pop("crc32")
    assert replace(record(0), checkpoint=line["checkpoint"], sha256=line["sha256"]) == Record(**line)


def test_a_disk_that_fills_up_before_the_copy_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generation counts: its line is in the journal."""
    from autofr.runs import journal as module

    journal = filled(tmp_path, [-0.5])
    append = module.append_durably

    def full(path: Path, data: bytes) -> None:
        if path == journal.copy:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(path, data)

    monkeypatch.setattr(module, "append_durably", full)
    with pytest.raises(OSError, match="No space left"):
        journal.commit(record(1), bank(1))
    assert journal.next_generation == Journal(tmp_path).next_generation == 2
