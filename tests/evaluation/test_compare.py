import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autofr import AutofrError
from autofr.evaluation.compare import compare, fnmr_column
from autofr.evaluation.evaluate import evaluate
from autofr.evaluation.show import print_comparison, print_evaluation

QUIET: dict[str, Any] = {"progress": False, "device": "cpu", "bootstrap": 20}


def test_two_models_in_one_table_and_plot(
    net: Path, other_net: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = {m.name: evaluate(m, folder, out=tmp_path / f"eval-{m.name}", **QUIET) for m in (net, other_net)}
    found = compare([tmp_path / "eval-net", tmp_path / "eval-other"], tmp_path / "both")
    assert found == {"faces-all": reports}
    with (tmp_path / "both" / "compare.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = {(r["model"], r["row"], r["figure"]): r["value"] for r in rows}
    eer = reports["other"]["results"]["masked"]["eer"]
    assert float(shown["other", "masked", "EER"]) == eer
    with Image.open(tmp_path / "both" / "det.png") as picture:
        assert picture.width > 600
    print_comparison(found, tmp_path / "both")
    text = capsys.readouterr().out
    assert text.count("masked") >= 2
    assert f"{eer:.4f}" in text
    assert all(len(line) <= 80 for line in text.splitlines() if str(tmp_path) not in line)
    print_evaluation(reports["net"], tmp_path)
    text = capsys.readouterr().out
    assert f"{reports['net']['results']['standard']['eer']:.4f}" in text
    assert all(len(line) <= 80 for line in text.splitlines() if str(tmp_path) not in line and "masks:" not in line)


def test_run_directories_give_every_benchmark_that_all_have(
    net: Path, other_net: Path, folder: Path, tmp_path: Path
) -> None:
    for run, model in (("a", net), ("b", other_net)):
        evaluate(model, folder, out=tmp_path / run / "evaluations" / "one", **QUIET)
        evaluate(model, folder, flip=False, out=tmp_path / run / "evaluations" / "two", **QUIET)
    evaluate(net, folder, masked="both", out=tmp_path / "a" / "evaluations" / "three", **QUIET)
    found = compare([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert len(found) == 2
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(found)
    assert {report["flip"] for reports in found.values() for report in reports.values()} == {True, False}


def test_models_of_one_name_are_told_apart_by_their_folders(net: Path, folder: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        evaluate(net, folder, out=tmp_path / name, **QUIET)
    assert list(next(iter(compare([tmp_path / "x", tmp_path / "y"]).values()))) == ["x", "y"]
    with pytest.raises(AutofrError, match="named twice"):
        compare([tmp_path / "x", tmp_path / "x"])


def test_what_cannot_be_compared(net: Path, folder: Path, tmp_path: Path) -> None:
    evaluate(net, folder, out=tmp_path / "x", **QUIET)
    evaluate(net, folder, out=tmp_path / "seeded", seed=1, **QUIET)
    evaluate(net, folder, out=tmp_path / "unflipped", flip=False, **QUIET)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").touch()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "report.json").write_text("{")
    old = tmp_path / "old"
    old.mkdir()
    (old / "report.json").write_text('{"version": 0, "model": 1, "benchmark": 1, "results": 1}')
    for other, told in (
        ("seeded", "have met different masks: seed is 0 and 1"),
        ("unflipped", "different benchmarks"),
        ("run", "has no evaluations; make one with"),
        ("none", "holds no evaluation"),
        ("damaged", "is damaged"),
        ("old", "is of version 0"),
    ):
        with pytest.raises(AutofrError, match=told):
            compare([tmp_path / "x", tmp_path / other], tmp_path / "out")
    with pytest.raises(AutofrError, match="two evaluations"):
        compare([tmp_path / "x"])
    assert not (tmp_path / "out").exists()


def test_rates_are_written_short() -> None:
    assert [fnmr_column(f) for f in (0.1, 1e-3, 0.05, 0.0025, 1e-6)] == [
        "FNMR@1e-1",
        "FNMR@1e-3",
        "FNMR@5e-2",
        "FNMR@0.0025",
        "FNMR@1e-6",
    ]
