"""The tuner called as NNI calls it, and in one real experiment."""

import json
import math
import socket
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("nni", reason="needs the extra [nni]")

from autofr import AutofrError
from autofr.integrations.nni import LFSTuner
from tests.processes import PATIENCE

SPACE = {"loss": {"_type": "choice", "_value": ["arcface:0.1", "arcface:0.2", "arcface:0.3"]}}


def tuner(**arguments) -> LFSTuner:  # type: ignore[no-untyped-def]
    made = LFSTuner(**arguments)
    made.update_search_space(SPACE)
    return made


@pytest.mark.parametrize("mode", ["maximize", "minimize"])
def test_it_learns_from_results(mode: str) -> None:
    made = tuner(optimize_mode=mode)
    for i in range(400):
        parameters = made.generate_parameters(i)
        value = float(parameters["loss"] == "arcface:0.2")
        made.receive_trial_result(i, parameters, {"default": value if mode == "maximize" else -value})
        made.trial_end(i, True)
    assert made.policy.alpha()["loss"].argmax() == 1
    assert made.policy.alpha()["loss"][1] > 0.7


def test_a_generation_is_told_when_all_have_reported_in_any_order() -> None:
    made = tuner(population=2)
    given = {i: made.generate_parameters(i) for i in range(4)}  # two generations at once
    told = []
    made.policy.tell = lambda a, r: told.append(r)  # type: ignore[union-attr]
    made.receive_trial_result(3, given[3], 0.3)
    made.receive_trial_result(0, given[0], 0.0)
    assert told == []
    made.trial_end(1, False)  # failed: no result
    assert len(told) == 1
    assert told[0][0] == 0.0
    assert math.isnan(told[0][1])
    made.receive_trial_result(2, given[2], 0.2)
    assert told[1] == [0.3, 0.2]
    made.trial_end(99, True)  # not ours


@pytest.mark.parametrize("result", [None, "much", [1], {"loss": 0.3}, {"default": None}])
def test_a_result_that_is_no_number_is_missing(result: object) -> None:
    made = tuner(population=2)
    told = []
    made.policy.tell = lambda a, r: told.append(r)  # type: ignore[union-attr]
    made.receive_trial_result(0, made.generate_parameters(0), result)
    made.receive_trial_result(1, made.generate_parameters(1), 0.5)
    assert math.isnan(told[0][0])
    assert told[0][1] == 0.5


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="maximize or minimize"):
        LFSTuner(optimize_mode="max")
    with pytest.raises(ValueError, match="2 trials or more"):
        LFSTuner(population=1)
    with pytest.raises(ValueError, match="whole number"):
        LFSTuner(population="4")
    with pytest.raises(AutofrError, match="'lr' is 'uniform'"):
        LFSTuner().update_search_space({"lr": {"_type": "uniform", "_value": [0, 1]}})
    with pytest.raises(AutofrError, match="unknown policy"):
        LFSTuner(policy="lsf").update_search_space(SPACE)


@pytest.mark.search
@pytest.mark.slow
def test_a_real_local_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four trials, in processes that NNI starts, tuned by LFSTuner in a process that NNI starts."""
    from nni.experiment import Experiment, launcher, rest
    from nni.experiment.config import CustomAlgorithmConfig

    answers = launcher._check_rest_server  # NNI gives its server, which may start on a busy machine, three seconds
    monkeypatch.setattr(launcher, "_check_rest_server", partial(answers, retry=int(PATIENCE)))
    monkeypatch.setattr(rest, "timeout", PATIENCE)

    (tmp_path / "trial.py").write_text(
        textwrap.dedent(f"""
            import nni, pathlib
            given = nni.get_next_parameter()
            pathlib.Path({str(tmp_path)!r}, f"drawn-{{nni.get_sequence_id()}}").write_text(given["loss"])
            nni.report_final_result(1.0 if given["loss"] == "arcface:0.2" else 0.5)
        """)
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    experiment = Experiment("local")
    config = experiment.config
    config.experiment_name = "autofr"
    config.experiment_working_directory = str(tmp_path / "nni")
    config.trial_code_directory = str(tmp_path)
    config.trial_command = f"{sys.executable} trial.py"
    config.search_space = SPACE
    # One at a time: NNI 3.0's table of results can pair two trials that run at once with each other's parameters.
    config.max_trial_number, config.trial_concurrency = 4, 1
    config.tuner = CustomAlgorithmConfig(
        class_name="autofr.integrations.nni.LFSTuner", class_args={"population": 2, "seed": 3}
    )
    try:
        assert experiment.run(port, wait_completion=True)
        results = experiment.export_data()
    finally:
        experiment.stop()
    assert len(results) == 4
    for result in results:
        assert result.parameter["loss"] in SPACE["loss"]["_value"]
        value = json.loads(result.value) if isinstance(result.value, str) else result.value
        assert float(value) == (1.0 if result.parameter["loss"] == "arcface:0.2" else 0.5)
    # The tuner's own draws: the same policy, asked in the same way, before anything was told.
    same = tuner(population=2, seed=3)
    for sequence in range(2):
        assert (tmp_path / f"drawn-{sequence}").read_text() == same.generate_parameters(sequence)["loss"]
