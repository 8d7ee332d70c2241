"""Runs and studies that another version of autofr wrote are refused, whatever is to be done with them."""

import json
from pathlib import Path

import pytest

import autofr
from autofr.cli import main
from autofr.runs.result import FORMAT, check_format


@pytest.mark.parametrize("stored", [{}, {"format": FORMAT + 1}, {"format": str(FORMAT)}, {"format": None}])
def test_another_format_is_refused(stored: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(autofr.RunFormatError, match=r"another version .* format .*this one reads 1; use that"):
        check_format(stored, tmp_path)
    check_format({"format": FORMAT}, tmp_path)


def test_in_python_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"recipe": {}, "version": "0.0.1"}))
    (tmp_path / "journal.jsonl").write_text("{}\n")
    for read in (lambda: autofr.SearchResult(tmp_path).records, lambda: autofr.load_embedder(tmp_path)):
        with pytest.raises(autofr.RunFormatError):
            read()


@pytest.mark.parametrize("command", ["search --resume {}", "sync-tracking {}", "pick {} --prefer fast"])
def test_every_command_refuses_it_in_one_line(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"recipe": {}, "version": "0.0.1"}))
    assert main(command.format(tmp_path).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "was written by another version of autofr: it has no format number" in line


def test_a_study_of_another_format(tmp_path: Path) -> None:
    from autofr.studies.plan import Plan

    (tmp_path / "study.json").write_text(json.dumps({"id": "0" * 32}))
    with pytest.raises(autofr.RunFormatError, match="another version"):
        Plan.load(tmp_path)
