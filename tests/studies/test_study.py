"""Studies for real: Optuna's SQLite storage, processes that are killed, MLflow's own client."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import autofr
from autofr import AutofrError, Choice, MaxParams, SearchSpace
from autofr.cli import main
from autofr.losses import ArcFace
from autofr.studies.plan import FILE, Plan, distribution, vary_json
from autofr.studies.run import StudyResult, stored_arguments
from autofr.studies.worker import Worker, open_study, trial_dir
from tests.paths import REPOSITORY
from tests.processes import autofr_process, wait_until

SPACE_FILE = """from autofr import Choice, SearchSpace
from autofr.losses import ArcFace
space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.3)))
"""
VARY: dict[str, Any] = {"lr": ["0.02..0.2", "log"], "batch_size": [8, 12]}


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, write_faces: Callable[..., Path]) -> str:
    return str(write_faces(tmp_path_factory.mktemp("faces") / "faces", 24, 4, 32))


@pytest.fixture
def settings(tiny: dict[str, Any], faces: str) -> dict[str, Any]:
    return {
        **{k: v for k, v in tiny.items() if k != "batch_size"},
        "data": faces,
        "epochs": 2,
        "population": 2,
        "image_size": 32,
    }


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(SPACE_FILE)
    return path


def acting_space(path: Path, act: str) -> Path:
    """A space whose file has each worker process do something in the second generation of its first trial, where
    ``ACT`` is in the environment: ``act``, Python that may use ``os`` and ``signal``."""
    path.write_text(
        f"""import os, signal, sys
if "ACT" in os.environ and sys.argv[-1] == __file__:  # the command line of a worker
    sys.path.insert(0, {str(REPOSITORY)!r})
    from tests.processes import at_a_step
    at_a_step(1, lambda: {act})
{SPACE_FILE}"""
    )
    return path


class Fragile(ArcFace):
    """A loss that small batches are too much for."""

    def forward(self, cosines: torch.Tensor, labels: torch.Tensor, norms: torch.Tensor | None = None) -> torch.Tensor:
        if 2 < len(labels) < 20:
            raise MemoryError("too few at once")
        return super().forward(cosines, labels, norms)


def workers_of(study_dir: Path) -> list[int]:
    """Processes that work on a study."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            told = (entry / "cmdline").read_bytes() if entry.name.isdecimal() else b""
            if b"autofr.studies.worker" in told and str(study_dir).encode() in told:
                found.append(int(entry.name))
    return found


def study_plan(space_file: Path, settings: dict[str, Any], study_dir: Path, trials: int) -> Plan:
    kept = {k: v for k, v in settings.items() if k not in ("tracking", "progress", "data")}
    where = {"space": str(space_file), "data": None, "landmarks": None, "landmark_scheme": None}
    how = {"trials": trials, "sampler": "TPESampler", "pruner": "NopPruner", "seed": 0, "settings": kept, "about": {}}
    return Plan(id="0" * 32, started=1.0, vary=vary_json(VARY), **where, **how)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("lr", ["0.02..0.3", "log"], FloatDistribution(0.02, 0.3, log=True)),
        ("mask_prob", ["0..0.5"], FloatDistribution(0.0, 0.5)),
        ("batch_size", ["16..64"], IntDistribution(16, 64)),
        ("batch_size", ["64", "128"], CategoricalDistribution([64, 128])),
        ("weight_decay", [1e-4, 5e-4], CategoricalDistribution([1e-4, 5e-4])),
        (
            "backbone",
            ["ir_mini", "mobilefacenet:width=0.5"],
            CategoricalDistribution(["ir_mini", "mobilefacenet:width=0.5"]),
        ),
        ("lr", FloatDistribution(0.1, 0.2), FloatDistribution(0.1, 0.2)),
    ],
)
def test_what_is_varied(name: str, given: Any, expected: Any) -> None:
    assert distribution(name, given) == expected


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("epochs", ["1..2"], "epochs cannot be varied: rewards of trials could then not be compared"),
        ("lr", ["0.02-0.3"], r"cannot vary lr over 0.02-0.3 .*; give an interval LOW..HIGH, or values of type float"),
        ("learning_rate", ["1..2"], "unknown setting to vary 'learning_rate'; did you mean"),
        ("lr", ["0.3..0.1"], "cannot vary lr over 0.3..0.1"),
        ("lr", ["a..b"], "cannot vary lr"),
        ("lr", ["0..0.1", "log"], "cannot vary lr"),
        ("lr", ["0.1..0.2", "linear"], "LOW..HIGH"),
        ("batch_size", ["1.5..3"], "cannot vary batch_size"),
        ("batch_size", [], "cannot vary batch_size"),
        ("average", ["maybe"], r"cannot vary average over maybe \('maybe' is neither true nor false\)"),
        ("average", ["false..true"], "cannot vary average"),
        ("reward", ["fnmr", "det_area"], "reward cannot be varied: rewards of trials could then not be compared"),
        ("backbone", ["ir18..ir50"], "LOW..HIGH"),
    ],
)
def test_what_cannot_be_varied_is_told(name: str, given: Any, message: str) -> None:
    with pytest.raises(AutofrError, match=message):
        distribution(name, given)


@pytest.mark.search
@pytest.mark.slow
def test_without_a_population_it_is_that_of_a_search(
    space_file: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    del settings["population"]
    found = autofr.study(
        str(space_file), vary={"average": ["false"]}, trials=1, study_dir=tmp_path / "study", **settings
    )
    config = autofr.SearchResult(found.run_dir).config
    assert (config["population"], config["recipe"]["average"]) == (4, False)


@pytest.mark.search
def test_a_study_is_searches_with_what_was_drawn(space_file: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    vary = {"lr": FloatDistribution(0.02, 0.2, log=True), "backbone": ["ir_mini-w0.5", "ir_mini-w0.25"]}
    settings = {k: v for k, v in settings.items() if k != "backbone"}
    result = autofr.study(
        space_file, vary=vary, trials=4, pruner="NopPruner", study_dir=tmp_path / "study", batch_size=32, **settings
    )
    assert [trial.state.name for trial in result.trials] == ["COMPLETE"] * 4
    for trial in result.trials:
        run = autofr.SearchResult(trial_dir(tmp_path / "study", trial.number))
        assert {name: run.config["recipe"][name] for name in vary} == trial.params
        rewards = {r.generation: r.reward for r in run.records}
        assert trial.intermediate_values == rewards
        assert trial.value == max(rewards.values())
    assert len({trial.params["lr"] for trial in result.trials}) == 4
    assert result.best.value == max(trial.value for trial in result.trials if trial.value is not None)
    assert autofr.load_embedder(result.run_dir).config["backbone"] == result.best.params["backbone"]


@pytest.mark.search
@pytest.mark.slow
def test_the_pruner_is_asked_after_each_generation(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A threshold that no reward reaches ends every trial after its first generation; none is complete."""
    with pytest.raises(AutofrError, match=r"no trial of .* came to its end"):
        autofr.study(
            *(space_file,),
            **settings | {"progress": True},
            vary=VARY,
            trials=2,
            pruner="ThresholdPruner:lower=0.5",
            study_dir=tmp_path / "study",
        )
    trials = open_study(tmp_path / "study", Plan.load(tmp_path / "study")).get_trials()
    assert [(trial.state.name, list(trial.intermediate_values)) for trial in trials] == [("PRUNED", [0])] * 2
    assert len(autofr.SearchResult(trial_dir(tmp_path / "study", 0)).records) == 1
    assert capsys.readouterr().out.count("pruned after generation 1") == 2


@pytest.mark.search
@pytest.mark.slow
def test_a_trial_that_cannot_be_trained_is_one_failed_trial(
    space_file: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    settings = {k: v for k, v in settings.items() if k != "image_size"}
    result = autofr.study(
        *(space_file,),
        **settings,
        vary={"clip": [5.0, 1e30], "lr": CategoricalDistribution([0.05, 1e30])},
        batch_size=16,
        image_size=32,
        trials=6,
        study_dir=tmp_path / "study",
    )
    for trial in result.trials:
        exploded = trial.params == {"clip": 1e30, "lr": 1e30}
        if exploded:
            assert trial.state.name == "FAIL"
            assert "diverged" in trial.user_attrs["error"]
    assert result.best.params["lr"] == 0.05


@pytest.mark.kill
@pytest.mark.slow
def test_several_workers_share_the_trials_and_survive_a_kill(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Worker and study are killed in the midst of trials; going on, the same trials end, from where they were."""
    study_dir = tmp_path / "study"
    space_file = acting_space(tmp_path / "mine.py", "os.kill(os.getpid(), signal.SIGSTOP)")
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in settings.items() if k not in ("tracking", "progress")]
    command = ["study", f"--space={space_file}", "--trials=4", "--workers=2", *flags]
    command += ["--segment=0.5", "--vary", "lr", "0.02..0.2", "log", "--vary", "batch-size", "8", "12"]
    command += ["--no-tracking", "--pruner=NopPruner", f"--study-dir={study_dir}"]
    process = autofr_process(*command, environment={"ACT": "1"})
    wait_until(lambda: process.poll() is not None or sum(map(is_stopped, workers_of(study_dir))) == 2)
    assert process.poll() is None, process.communicate()
    workers = workers_of(study_dir)
    if "OMP_NUM_THREADS" not in os.environ:  # they share the cores
        shared = f"OMP_NUM_THREADS={max(1, torch.get_num_threads() // 2)}"
        assert all(shared in Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in workers)
    for pid in (process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not workers_of(study_dir))
    plan = Plan.load(study_dir)
    before = open_study(study_dir, plan).get_trials()
    assert [trial.state.name for trial in before] == ["RUNNING"] * 2
    committed = {
        trial.number: [r.seconds for r in autofr.SearchResult(trial_dir(study_dir, trial.number)).records]
        for trial in before
    }
    assert [len(seconds) for seconds in committed.values()] == [1, 1]
    assert main(["study", f"--resume={study_dir}", f"--space={space_file}", "--no-tracking", "--workers=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split(":")[0] for line in lines if ": reward " in line) == [f"trial {k}" for k in range(4)]
    after = open_study(study_dir, plan).get_trials()
    assert [trial.state.name for trial in after] == ["COMPLETE"] * 4
    assert [trial.params for trial in after[: len(before)]] == [trial.params for trial in before]
    for trial in after:
        records = autofr.SearchResult(trial_dir(study_dir, trial.number)).records
        assert trial.intermediate_values == {r.generation: r.reward for r in records}
        assert len(records) == 4
        assert [r.seconds for r in records[:1]] == committed.get(trial.number, [records[0].seconds])


def is_stopped(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return False


@pytest.mark.kill
@pytest.mark.slow
def test_a_worker_that_dies_at_the_last_trial_leaves_it_to_another(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two workers, each at one of two trials, kills itself: the first that makes a folder."""
    study_dir, killed = tmp_path / "study", tmp_path / "killed"
    act = f"os.path.exists({str(killed)!r}) or os.mkdir({str(killed)!r}) or os.kill(os.getpid(), signal.SIGKILL)"
    space_file = acting_space(tmp_path / "mine.py", act)
    monkeypatch.setenv("ACT", "1")
    how = {**settings, "vary": {"lr": ["0.02..0.2"]}, "pruner": "NopPruner", "batch_size": 8, "segment": 0.5}
    result = autofr.study(space_file, study_dir=study_dir, trials=2, workers=2, **how)
    assert killed.exists()
    assert [trial.state.name for trial in result.trials] == ["COMPLETE"] * 2


@pytest.mark.kill
@pytest.mark.slow
def test_told_to_stop_it_stops_its_workers(space_file: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    """Also where Ctrl-C is ignored, as by what a script starts in the background."""
    study_dir = tmp_path / "study"
    flags = [f"--{k.replace('_', '-')}={v}" for k, v in settings.items() if k not in ("tracking", "progress")]
    command = ["study", f"--space={space_file}", "--trials=1000", "--workers=2", *flags]
    command += ["--vary", "lr", "0.02..0.2", "--no-tracking", f"--study-dir={study_dir}"]
    process = autofr_process(*command, ignored=(signal.SIGINT,))
    wait_until(lambda: process.poll() is not None or len(list(study_dir.glob("trial-*/journal.jsonl"))) >= 2)
    process.terminate()
    out, _ = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert f"study --resume {study_dir} --space {space_file}" in out
    assert not workers_of(study_dir)


def test_a_trial_that_was_half_asked_for_counts_for_none(
    space_file: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    """A worker was killed between the trial and its parameters: it is not run with others than were drawn."""
    plan = study_plan(space_file, settings, tmp_path, trials=1)
    study = open_study(tmp_path, plan)
    study.ask({"lr": plan.distributions()["lr"]})
    worker = Worker(tmp_path, plan, str(space_file))
    with ExitStack() as held:
        trial = worker._next(held)
        assert trial is not None
        assert trial.number == 1
        assert trial.params.keys() == plan.distributions().keys()
    assert study.get_trials()[0].state.name == "FAIL"


def test_a_trial_that_was_told_meanwhile_is_not_taken(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked as if its worker had died: it had told the trial, and left, between a look and a lock."""
    plan = study_plan(space_file, settings, tmp_path, trials=1)
    worker = Worker(tmp_path, plan, str(space_file))
    running = worker.study.ask(plan.distributions())
    take = worker._take

    def late(number: int, held: ExitStack) -> bool:
        open_study(tmp_path, plan).tell(number, 0.5)
        return take(number, held)

    monkeypatch.setattr(worker, "_take", late)
    with ExitStack() as held:
        assert worker._next(held) is None
    assert worker.study.get_trials()[running.number].value == 0.5


@pytest.mark.search
@pytest.mark.slow
def test_a_trial_whose_loss_raises_is_one_failed_trial(settings: dict[str, Any], tmp_path: Path) -> None:
    """Whatever it raises: the next trial is run."""
    space = SearchSpace(loss=Choice(Fragile(0.1), Fragile(0.3)))
    settings = {k: v for k, v in settings.items() if k != "image_size"} | {"image_size": 32}
    result = autofr.study(
        space, vary={"batch_size": [8, 40]}, trials=5, pruner="NopPruner", study_dir=tmp_path / "study", **settings
    )
    assert {trial.state.name for trial in result.trials if trial.params["batch_size"] == 8} == {"FAIL"}
    assert {trial.state.name for trial in result.trials if trial.params["batch_size"] == 40} == {"COMPLETE"}
    (first, *_) = [trial for trial in result.trials if trial.state.name == "FAIL"]
    assert first.user_attrs["error"] == "MemoryError: too few at once"


@pytest.mark.search
@pytest.mark.slow
def test_a_sampler_that_enumerates_is_no_end(space_file: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    result = autofr.study(
        *(space_file,),
        **settings,
        vary={"batch_size": [8, 12]},
        trials=3,
        sampler="BruteForceSampler",
        pruner="NopPruner",
        study_dir=tmp_path / "study",
    )
    assert len(result.trials) == 3
    assert {trial.params["batch_size"] for trial in result.trials} == {8, 12}


@pytest.mark.search
@pytest.mark.slow
def test_a_trial_that_was_interrupted_ends_to_the_same_bits(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, same_outcome: Any
) -> None:
    how = {**settings, "vary": VARY, "trials": 2, "pruner": "NopPruner"}
    whole = autofr.study(space_file, study_dir=tmp_path / "whole", **how)
    asked = 0

    def alive() -> bool:
        nonlocal asked
        asked += 1
        return asked < 2

    plan = whole.plan
    (tmp_path / "again").mkdir()
    plan.save(tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        Worker(tmp_path / "again", plan, str(space_file), alive).work()
    result = autofr.study(space_file, study_dir=tmp_path / "again", resume=True, **how)
    assert [trial.params for trial in result.trials] == [trial.params for trial in whole.trials]
    assert [trial.value for trial in result.trials] == [trial.value for trial in whole.trials]
    for number in range(2):
        assert same_outcome(trial_dir(tmp_path / "whole", number), trial_dir(tmp_path / "again", number))


@pytest.mark.search
@pytest.mark.slow
def test_mlflow_has_a_child_run_a_trial_with_real_parameters(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, mlflow_store: Callable[[Path], None]
) -> None:
    from mlflow import MlflowClient

    study_dir = tmp_path / "study"
    mlflow_store(tmp_path)
    how = {**settings, "vary": VARY, "trials": 2, "study_dir": study_dir}
    result = autofr.study(space_file, **how | {"tracking": True})
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")

    def runs() -> tuple[Any, list[Any]]:
        found = client.search_runs([client.get_experiment_by_name("autofr").experiment_id])
        (parent,) = [run for run in found if "mlflow.parentRunId" not in run.data.tags]
        children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
        return parent, sorted(children, key=lambda run: int(run.data.tags["autofr.trial"]))

    parent, children = runs()
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["best trial"] == str(result.best.number)
    assert [run.data.params for run in children] == [
        {name: str(value) for name, value in trial.params.items()} for trial in result.trials
    ]
    for run, trial in zip(children, result.trials, strict=True):
        assert run.info.status == "FINISHED"
        history = client.get_metric_history(run.info.run_id, "reward")
        assert {m.step: m.value for m in history} == trial.intermediate_values
        assert run.data.metrics["best_reward"] == trial.value
    # More trials, unheard by MLflow, then filled in; what was there stays as it was.
    autofr.study(space_file, **how | {"trials": 3, "resume": True})
    assert main(["sync-tracking", str(study_dir)]) == 0
    again, more = runs()
    assert again.info.run_id == parent.info.run_id
    assert [run.info.run_id for run in more[:2]] == [run.info.run_id for run in children]
    assert len(more) == 3
    assert again.info.status == "FINISHED"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vary": {}}, "a study varies something"),
        ({"trials": 0}, "trials is a whole number, 1 or more, got 0"),
        ({"workers": 0}, "workers is a whole number"),
        ({"sampler": "MagicSampler"}, "unknown Optuna sampler 'MagicSampler'"),
        ({"pruner": "MedianPruner:patience=3"}, "no setting 'patience'"),
        ({"vary": {"lr": ["-0.1..0.1"]}}, "lr must be above 0, got -0.1"),
        ({"vary": {"mask_prob": ["0.5..1.5"]}}, "mask-prob lies from 0 to 1, got 1.5"),
        ({"vary": {"backbone": ["ir_mini", "vgg"]}, "backbone": None}, "unknown backbone 'vgg'"),
        ({"vary": {"lr": ["0.1..0.2"]}, "lr": 0.1}, "lr is both set and varied"),
        ({"data": "nowhere"}, "nowhere"),
        ({"policy": "nonsense"}, "unknown policy 'nonsense'"),
        ({"population": 1}, "a population needs 2 members"),
        ({"epohcs": 3}, "unknown setting of a study 'epohcs'; did you mean epochs"),
        ({"run_dir": "x"}, "unknown setting of a study 'run_dir'"),
        ({"device": "tpu"}, "tpu"),
        ({"prefer": "cheap"}, "unknown prefer 'cheap'"),
        ({"vary": {"image_size": [30, 32]}, "image_size": None}, "multiples of 16, not 30"),
        ({"workers": 2, "space": None}, "several workers need a space that each can load"),
    ],
)
def test_bad_input_is_told_before_anything_is_written(
    change: dict[str, Any], message: str, space_file: Path, settings: dict[str, Any], tmp_path: Path
) -> None:
    space: Any = space_file
    if "space" in change:
        space = SearchSpace(loss=Choice(ArcFace(0.1)))
        change = {k: v for k, v in change.items() if k != "space"}
    how = {"vary": VARY, **settings, **change}
    with pytest.raises(AutofrError, match=message):
        autofr.study(space, study_dir=tmp_path / "study", **how)
    assert not (tmp_path / "study").exists()


def test_a_space_that_searches_networks_leaves_them_to_it(settings: dict[str, Any], tmp_path: Path) -> None:
    settings = {k: v for k, v in settings.items() if k != "backbone"}
    with pytest.raises(AutofrError, match="the space searches the network"):
        autofr.study("elastic_iresnet", vary={"backbone": ["ir_mini"]}, study_dir=tmp_path / "study", **settings)


def test_a_directory_is_not_mistaken(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study_dir = tmp_path / "study"
    study_dir.mkdir()
    (study_dir / "photo.jpg").write_text("somebody's")
    with pytest.raises(AutofrError, match="exists; go on with --resume"):
        autofr.study(space_file, vary=VARY, study_dir=study_dir, **settings)
    assert main(["study", f"--resume={study_dir}"]) == 2
    assert "is no study: it has no study.json" in capsys.readouterr().err
    for broken in ("{}", "[]", '{"id": 3}', "{"):
        (study_dir / FILE).write_text(broken)
        assert main(["study", f"--resume={study_dir}"]) == 2
    assert "study.json" in capsys.readouterr().err


def test_a_budget_that_nothing_meets_is_told_before_anything_is_written(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1)), constraints=[MaxParams(10)])
    with pytest.raises(AutofrError, match=r"nearest, ir_mini-w0\.25 is at"):
        autofr.study(space, vary=VARY, study_dir=tmp_path / "study", **settings)
    assert not (tmp_path / "study").exists()


def test_a_study_that_was_killed_in_its_first_instant_is_as_good_as_none(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "lock").touch()
    monkeypatch.setattr(Worker, "work", lambda self, after: None)
    with pytest.raises(AutofrError, match="no trial of"):
        autofr.study(space_file, vary=VARY, study_dir=tmp_path / "study", **settings)
    assert (tmp_path / "study" / FILE).is_file()


def test_a_study_directory_does_not_choose_what_is_executed(
    space_file: Path, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither by its space, nor by a space among its settings."""
    evil = tmp_path / "evil.py"
    evil.write_text("raise SystemExit('EXECUTED')")
    plan = study_plan(space_file, settings, tmp_path, 1)
    for changed in (
        replace(plan, space=str(evil)),
        replace(plan, space="arcface_margins", settings={**plan.settings, "space": str(evil)}),
    ):
        changed.save(tmp_path)
        assert main(["study", f"--resume={tmp_path}"]) == 2
        told = capsys.readouterr().err
        assert "EXECUTED" not in told
        assert "would be executed" in told or "unknown setting of a study 'space'" in told


@pytest.mark.search
@pytest.mark.slow
def test_going_on_with_other_settings_is_refused(space_file: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    study_dir = tmp_path / "study"
    how = {**settings, "trials": 1, "study_dir": study_dir}
    result = autofr.study(space_file, vary=VARY, **how)
    assert isinstance(result, StudyResult)
    with pytest.raises(AutofrError, match="other settings: vary was"):
        autofr.study(space_file, vary={"lr": ["0.1..0.2"]}, resume=True, **how)
    with pytest.raises(AutofrError, match="is Python of somebody's and would be executed"):
        stored_arguments(study_dir, None)
    space_file.write_text(SPACE_FILE.replace("0.3", "0.4"))
    with pytest.raises(AutofrError, match=r"other settings: about was .*m=0\.4"):
        autofr.study(space_file, vary=VARY, resume=True, **how)


@pytest.mark.search
@pytest.mark.slow
def test_a_store_that_is_down_costs_a_line(
    space_file: Path,
    settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    how = {**settings, "vary": VARY, "study_dir": tmp_path / "study", "tracking": True, "progress": True}
    result = autofr.study(space_file, trials=2, **how)
    assert len(result.trials) == 2
    said = capsys.readouterr().out
    assert said.count("MLflow does not have all of this study") == 1
    assert f"sync-tracking {tmp_path / 'study'} fills it in" in said
    with pytest.raises(AutofrError, match="has 2 trials already; --trials is how many in all"):
        autofr.study(space_file, trials=1, resume=True, **how)


@pytest.mark.search
@pytest.mark.slow
def test_a_study_of_a_shipped_space_is_gone_on_with_by_its_name(settings: dict[str, Any], tmp_path: Path) -> None:
    how = {**settings, "vary": VARY, "study_dir": tmp_path / "study"}
    autofr.study("arcface_margins", trials=1, **how)
    for trials in (2, 3):
        assert main(["study", f"--resume={tmp_path / 'study'}", f"--trials={trials}", "--no-tracking"]) == 0
    plan = Plan.load(tmp_path / "study")
    assert plan.space == "arcface_margins"
    assert len(open_study(tmp_path / "study", plan).get_trials()) == 3
