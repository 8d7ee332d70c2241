"""The public interface: what ``import autofr`` gives, and how it describes itself."""

import copy
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest

import autofr
from autofr import exceptions
from autofr.training.arguments import RecipeArguments
from autofr.training.recipe import Recipe


def test_dir_is_all_and_every_name_is_there() -> None:
    assert dir(autofr) == sorted(autofr.__all__) == autofr.__all__
    for name in autofr.__all__:
        assert getattr(autofr, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'serach'"):
        autofr.serach  # noqa: B018


def test_search_and_train_are_functions_that_show_every_argument() -> None:
    for function in (autofr.search, autofr.train):
        assert inspect.isfunction(function)
        parameters = inspect.signature(function).parameters
        assert not [p for p in parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
        assert Recipe.__dataclass_fields__.keys() <= parameters.keys()
        documented = inspect.getdoc(function) or ""
        for name in parameters:
            assert name in documented, f"{function.__name__} does not document {name}"
    own = inspect.signature(autofr.search).parameters.keys() - inspect.signature(autofr.train).parameters.keys()
    assert own == {"space", "policy", "population", "cost", "prefer"}


def test_the_typed_arguments_are_those_of_the_recipe() -> None:
    arguments, settings = get_type_hints(RecipeArguments), get_type_hints(Recipe)
    assert arguments.keys() == settings.keys()
    for name, kind in settings.items():
        assert set(get_args(arguments[name])) == {kind, type(None)}, name


def test_errors_that_a_program_may_tell_apart_are_named() -> None:
    with pytest.raises(autofr.UnknownNameError) as unknown:
        autofr.load_space("arcface_margin")
    assert (unknown.value.kind, unknown.value.name) == ("space", "arcface_margin")
    assert unknown.value.near[0] == "arcface_margins"
    named = {name for name in vars(exceptions) if name.endswith("Error")}
    assert named == {name for name in autofr.__all__ if name.endswith("Error")}
    assert all(issubclass(getattr(autofr, name), autofr.AutofrError) for name in named)


@pytest.mark.parametrize(
    "statement",
    [
        "import autofr; autofr.SearchSpace, autofr.Choice",
        "import sys; sys.argv = ['autofr', '--help']\ntry:\n    import autofr.__main__\nexcept SystemExit: pass",
        "import autofr; autofr.load_space",
    ],
)
def test_what_must_answer_at_once_imports_no_heavy_package(statement: str) -> None:
    heavy = "{'torch', 'numpy', 'rich', 'mlflow', 'optuna', 'matplotlib', 'kornia', 'timm'}"
    code = f"{statement}\nimport sys\nprint('HEAVY', sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_errors_travel_to_other_processes(again: Callable[[Any], Any]) -> None:
    """Whatever arguments they are made of: a worker of a pool that cannot send its error leaves its caller waiting."""
    made = [
        autofr.UnknownNameError("loss", "arcfase", ["arcface", "cosface"], "a hint"),
        autofr.SettingsDifferError("it differs", ["recipe.lr"]),
        *(kind("a message") for kind in vars(exceptions).values() if inspect.isclass(kind) and _takes_a_message(kind)),
    ]
    assert {type(error) for error in made} == {getattr(autofr, n) for n in autofr.__all__ if n.endswith("Error")}
    for error in made:
        other = again(error)
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


def _takes_a_message(kind: type) -> bool:
    return issubclass(kind, autofr.AutofrError) and [*inspect.signature(kind).parameters] == ["message"]


def test_an_unknown_name_of_nothing() -> None:
    assert str(autofr.UnknownNameError("thing", "x", [])) == "unknown thing 'x'"


def test_the_hints_of_both_functions_can_be_read() -> None:
    assert get_type_hints(autofr.search)["return"] is get_type_hints(autofr.train)["return"] is autofr.SearchResult
