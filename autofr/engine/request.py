"""What a run was asked for: its recipe, its ``config.json``, and whether a resume asks for the same."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import torch

from autofr._version import __version__
from autofr.console import command_name
from autofr.data import Faces
from autofr.data.shards import Shards
from autofr.data.synthetic import SYNTHETIC_SIZE
from autofr.exceptions import AutofrError, SettingsDifferError, UnknownNameError
from autofr.masks.parameters import VERSION as MASKS
from autofr.policies import VERSION as POLICIES
from autofr.runs.result import FORMAT, SearchResult, flatten, read_config
from autofr.space.constraints import name_of
from autofr.space.dimensions import Range
from autofr.space.load import is_space_file, shipped_spaces
from autofr.space.space import SearchSpace
from autofr.system.torchrun import launched, torchrun_command
from autofr.training.recipe import Recipe

_CALL = {"space", "data", "landmarks", "landmark_scheme", "policy", "population"}
_CALL |= {"seed", "device", "validation_identities", "cost", "prefer"}


def resolved_recipe(call: dict[str, Any], images: int) -> Recipe:
    """The recipe for a set of that many ``images``, with the settings of ``call`` on top.

    Raises:
        AutofrError: a setting that no recipe has, or a value that makes no sense.
    """
    given = {k: v for k, v in call.items() if k not in _CALL}
    unknown = sorted(set(given) - set(Recipe.__dataclass_fields__))
    if unknown:
        raise UnknownNameError("setting", unknown[0], Recipe.__dataclass_fields__)
    if isinstance(call["data"], Faces):
        given["image_size"] = call["data"].image_size
    elif call["data"] is None and given.get("image_size") is None:
        given["image_size"] = SYNTHETIC_SIZE
    return Recipe.for_images(images, **given)


def resolved_config(
    space: SearchSpace, call: dict[str, Any], recipe: Recipe, device: torch.device, data: dict[str, Any]
) -> dict[str, Any]:
    """What ``config.json`` holds: everything that decides what a run does, as JSON-able values. ``data`` is
    :func:`data_config`'s."""
    return {
        "format": FORMAT,
        "version": __version__,
        "space": {
            "name": located(call["space"]),
            **described(space),
        },
        **({"trade": {"cost": call["cost"], "prefer": call["prefer"]}} if space.architecture else {}),
        "data": data,
        "masks": MASKS,
        "policies": POLICIES,
        "policy": call["policy"],
        "population": int(call["population"]),
        "seed": int(call["seed"]),
        "device": device.type if launched() else str(device),
        "recipe": recipe.to_json(),
    }


def data_config(call: dict[str, Any], faces: Faces | Shards, held_back: Faces) -> dict[str, Any]:
    """What ``config.json`` holds of the faces: all of a set, or shards; and those held back."""
    return {
        "source": None if call["data"] is None else faces.source if "://" in faces.source else _absolute(faces.source),
        "landmarks": None if call["landmarks"] is None else _absolute(call["landmarks"]),
        "landmark_scheme": call["landmark_scheme"],
        "images": len(faces) + (len(held_back) if isinstance(faces, Shards) else 0),
        "identities": faces.identities + faces.held_back if isinstance(faces, Shards) else len(faces.identities),
        "validation_identities": len(held_back.identities),
        "fingerprint": faces.fingerprint(),
    }


def _absolute(path: str | Path) -> str:
    return str(Path(path).resolve())


def described(space: SearchSpace) -> dict[str, Any]:
    """What a space must not be otherwise when a run goes on, as JSON-able values."""
    said: dict[str, Any] = {
        "options": space.names(),
        # Names are rounded: a resume with other bounds would go unseen.
        "ranges": {n: [d.low, d.high] for n, d in space.dimensions.items() if isinstance(d, Range)},
        "middles": {n: list(d.middles) for n, d in space.dimensions.items() if isinstance(d, Range)},
    }
    if space.elastic is not None:
        said["family"] = space.elastic.largest
    if space.constraints:
        said["constraints"] = [name_of(c) for c in space.constraints]
    if space.allowed is not None:
        said["allowed"] = [list(architecture) for architecture in space.allowed]
    return said


def stored_budget(stored: dict[str, Any], space: SearchSpace) -> SearchSpace | None:
    """``space`` within the budgets as the run of configuration ``stored`` found them: another machine, with other
    latencies, goes on with the same architectures. ``None``: that run had other constraints, or none."""
    held = stored["space"]
    if held.get("constraints") != [name_of(c) for c in space.constraints] or "allowed" not in held:
        return None
    return space.within([tuple(architecture) for architecture in held["allowed"]])


def located(space: Any) -> str | None:
    """What names a space (or a loss) for a resume, which may start from another folder; ``None``: only Python can."""
    if not isinstance(space, str):
        return None
    return str(Path(space).resolve()) if is_space_file(space) else space


def refuse_other_settings(run_dir: Path, config: dict[str, Any]) -> None:
    """Check that the run in ``run_dir`` was made with ``config``.

    Raises:
        SettingsDifferError: it was not; what differs is listed.
    """
    stored, now = flatten(read_config(run_dir)), flatten(config)
    # Data and space may have moved: the fingerprint and the options say whether they are the same.
    skipped = {"version", "space.name", "data.source", "data.landmarks", "run.id", "run.started"}
    skipped |= {"run.job", "run.mesh"}  # and another number of processes may go on
    different = [k for k in sorted(stored.keys() | now.keys()) if k not in skipped and stored.get(k) != now.get(k)]
    if different:
        listed = "; ".join(f"{k} was {str(stored.get(k))[:200]}, is {str(now.get(k))[:200]}" for k in different)
        raise SettingsDifferError(
            f"cannot resume {run_dir} with other settings: {listed}; take those, or start anew", different
        )


def resume_command(run_dir: Path, config: dict[str, Any]) -> str:
    """How to go on with the run in ``run_dir``, as its user would write it."""
    command, name = "train" if config["population"] == 1 else "search", config["space"]["name"]
    if name is None:  # built in Python: nothing to name on a command line
        return f"autofr.{command}(..., run_dir={str(run_dir)!r}, resume=True)"
    words = [command, "--resume", str(run_dir)]
    words += ["--space", name] if name not in shipped_spaces() and command == "search" else []
    if not launched():
        return shlex.join([command_name(), *words])
    mesh = config.get("run", {}).get("mesh")
    return shlex.join([*torchrun_command(), "-m", "autofr", *words, *(["--mesh", mesh] if mesh else [])])


def stored_arguments(run_dir: Path, command: str, space: str | None) -> dict[str, Any]:
    """The arguments of :func:`autofr.search` or :func:`autofr.train` that made a run, for resuming it.

    Args:
        run_dir: the run.
        command: ``search`` or ``train``: the one that resumes.
        space: the space that the user named for it, if any.

    Raises:
        AutofrError: no run directory; one that the other command made; one whose space or loss was built in Python
            (only Python can resume that); or one whose space is not a shipped one, and the user did not name it: a run
            directory may come from somebody else, and must not choose what is executed.
    """
    config = SearchResult(run_dir).config
    made_by = "train" if config["population"] == 1 else "search"
    if made_by != command:
        raise AutofrError(f"{run_dir} was made by {made_by}; go on with: {resume_command(run_dir, config)}")
    name = config["space"]["name"]
    if name is None:
        raise AutofrError(f"{run_dir} was started from Python; resume it there: {resume_command(run_dir, config)}")
    if command == "search" and space is None and name not in shipped_spaces():
        raise AutofrError(
            f"the space of {run_dir}, {name}, is Python of somebody's and would be executed; if you trust it, name it: "
            f"{resume_command(run_dir, config)}"
        )
    data = config["data"]
    what = {"loss": name}
    if command == "search":
        chosen = space or str(shipped_spaces()[name])  # the shipped file, whatever lies in ./search_spaces
        what = {"space": chosen, "policy": config["policy"], "population": config["population"]}
        what |= config.get("trade", {})
    return what | {
        "data": data["source"],
        "landmarks": data["landmarks"],
        "landmark_scheme": data.get("landmark_scheme"),
        "validation_identities": data["validation_identities"],
        "seed": config["seed"],
        "device": config["device"],
        **{name: config["recipe"][name] for name in Recipe.__dataclass_fields__ if name in config["recipe"]},
        **({"backbone": None} if "trade" in config else {}),  # the space has them
    }
