"""The weight bank as a file: a checkpoint of a search."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open

from autofr.exceptions import AutofrError
from autofr.files import parse_json, write_tensors
from autofr.search.population import Entry, WeightBank


def save_bank(path: Path, bank: WeightBank) -> None:
    """Write a bank as one safetensors file: tensors named ``KEY|NAME``, origins in the header.

    Raises:
        OSError: it cannot be written.
    """
    tensors = {f"{key}|{name}": t for key, entry in bank.entries.items() for name, t in entry.state.items()}
    origins = {key: [entry.generation, entry.member] for key, entry in bank.entries.items()}
    write_tensors(path, tensors, {"origins": json.dumps(origins)})


def load_bank(path: Path) -> WeightBank:
    """Read a bank that :func:`save_bank` wrote.

    Raises:
        AutofrError: it is no such file.
    """
    bank = WeightBank()
    try:
        with safe_open(path, framework="pt") as file:
            for key, (generation, member) in parse_json(file.metadata()["origins"].encode()).items():
                if type(generation) is not int or type(member) is not int:
                    raise ValueError(f"the origin of {key} is no generation and member")
                bank.entries[key] = Entry({}, generation, member)
            for full_name in list(file.keys()):
                key, name = full_name.split("|", 1)
                bank.entries[key].state[name] = torch.as_tensor(file.get_tensor(full_name))
    except Exception as error:  # safetensors has errors of its own
        raise AutofrError(f"{path} is no checkpoint of a search: {error}") from error
    return bank
