import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autofr import AutofrError
from autofr.cli.evaluation_tables import print_comparison, print_evaluation
from autofr.evaluation.compare import compare, rate_column, summary_names
from autofr.evaluation.evaluate import evaluate

QUIET: dict[str, Any] = {"progress": False, "device": "cpu", "bootstrap": 20}


@pytest.mark.search
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


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
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
    evaluate(other_net, folder, masked="both", out=tmp_path / "b" / "evaluations" / "three", **QUIET)
    assert set(compare([tmp_path / "a", tmp_path / "b"])) == {"faces-all", "faces-all-no-flip", "faces-all-masked-both"}


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_with_masks_goes_before_without(net: Path, other_net: Path, folder: Path, tmp_path: Path) -> None:
    """The report with masks has every row of the one without; which is read first does not matter."""
    for run, model in (("a", net), ("b", other_net)):
        evaluate(model, folder, out=tmp_path / run / "evaluations" / "faces", **QUIET)
        for name in ("faces-masked-no", "an-earlier-one"):
            evaluate(model, folder, masked="no", out=tmp_path / run / "evaluations" / name, **QUIET)
        shutil.rmtree(tmp_path / run / "evaluations" / "an-earlier-one")
    reports = compare([tmp_path / "a", tmp_path / "b"])["faces-all"]
    assert all(list(report["results"]) == ["standard", "masked"] for report in reports.values())
    evaluate(net, folder, seed=1, out=tmp_path / "a" / "evaluations" / "seeded", **QUIET)
    with pytest.raises(AutofrError, match="has two evaluations of all on faces"):
        compare([tmp_path / "a", tmp_path / "b"])


def test_what_a_summary_is_of() -> None:
    report = {
        "summary": {"score": 0.5},
        "benchmark": {"shown": "tar"},
        "results": {"Mask": {"rates": [{"fmr": 1e-4}]}, "MR-All": {"rates": [{"fmr": 1e-6}]}},
    }
    assert summary_names(report) == {"score": "score (TAR at FMR 0.0001; TAR at FMR 1e-06)"}


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_an_older_comparison_is_replaced_and_nothing_else(
    net: Path, other_net: Path, folder: Path, tmp_path: Path
) -> None:
    for run, model in (("a", net), ("b", other_net)):
        evaluate(model, folder, out=tmp_path / run / "evaluations" / "one", **QUIET)
    out = tmp_path / "out"
    compare([tmp_path / "a", tmp_path / "b"], out)
    evaluate(net, folder, flip=False, out=tmp_path / "a" / "evaluations" / "two", **QUIET)
    evaluate(other_net, folder, flip=False, out=tmp_path / "b" / "evaluations" / "two", **QUIET)
    assert len(compare([tmp_path / "a", tmp_path / "b"], out)) == 2
    assert all(path.is_dir() for path in out.iterdir())
    for taken in (tmp_path / "a", tmp_path):  # a run, and the folder of runs with a comparison in it
        with pytest.raises(AutofrError, match="is no comparison: it has"):
            compare([tmp_path / "a", tmp_path / "b"], taken)
    assert (tmp_path / "a" / "evaluations" / "one" / "report.json").is_file()


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_models_of_one_name_are_told_apart_by_their_folders(net: Path, folder: Path, tmp_path: Path) -> None:
    for name in ("x", "y"):
        evaluate(net, folder, out=tmp_path / name, **QUIET)
    assert list(next(iter(compare([tmp_path / "x", tmp_path / "y"]).values()))) == ["x", "y"]
    with pytest.raises(AutofrError, match="named twice"):
        compare([tmp_path / "x", tmp_path / "x"])


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
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
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "report.json").write_text('{"version": 1, "model": {}, "benchmark": {}, "results": {}}')
    (old / "report.json").write_text('{"version": 0, "model": 1, "benchmark": 1, "results": 1}')
    for other, told in (
        ("seeded", "have met different masks: seed is 0 and 1"),
        ("unflipped", "different benchmarks"),
        ("run", "has no evaluations; make one with"),
        ("none", "holds no evaluation"),
        ("damaged", "is damaged"),
        ("old", "is of version 0"),
        ("lacking", "lacks keys of a report"),
    ):
        with pytest.raises(AutofrError, match=told):
            compare([tmp_path / "x", tmp_path / other], tmp_path / "out")
    with pytest.raises(AutofrError, match="two evaluations"):
        compare([tmp_path / "x"])
    assert not (tmp_path / "out").exists()


def test_rates_are_written_short() -> None:
    assert rate_column("tar", 1e-4) == "TAR@1e-4"
    assert [rate_column("fnmr", f) for f in (0.1, 1e-3, 0.05, 0.0025, 1e-6)] == [
        "FNMR@1e-1",
        "FNMR@1e-3",
        "FNMR@5e-2",
        "FNMR@0.0025",
        "FNMR@1e-6",
    ]
