"""One set of weights, many networks: a backbone whose depth, width or kernel is a choice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from autofr.exceptions import AutofrError
from autofr.space.dimensions import Choice

_WORD = re.compile(r"[\w.+-]+")


class Elastic:
    """A family of networks that share their weights: every combination of the choices is a slice of the largest.

    In a :class:`~autofr.SearchSpace` each choice becomes a dimension, with probabilities of its own. The weight bank
    has one entry for the family, so a variant that was never drawn starts from what the others have learned::

        backbone = Elastic("iresnet:stem=2", depth=("1-1-1-1", "2-2-2-2"), width=(0.5, 1.0), kernel=(3, 5))

    Args:
        backbone: a key of :data:`autofr.backbones.BACKBONES`, with the settings that are the same for all.
        choices: by the name of the setting, its options from the smallest to the largest: a ``Choice``, or an iterable
            of numbers or words. The variant of all last options is the largest, and the others are slices of it
            (:mod:`autofr.backbones.slices`); the search checks all of them, or of a large space those of
            :meth:`around`.

    Raises:
        AutofrError: no choice, one that the search has a dimension for, or an option that a name cannot hold.
    """

    def __init__(self, backbone: str, **choices: Choice | Iterable[Any]) -> None:
        if not isinstance(backbone, str) or not choices:
            raise AutofrError(
                "an Elastic is a backbone's name and its choices: Elastic('mobilefacenet', width=(0.5, 1))"
            )
        taken = sorted({"loss", "backbone"} & choices.keys())
        if taken:
            raise AutofrError(f"an Elastic cannot have a choice called '{taken[0]}': that is a dimension of the space")
        self.backbone = backbone
        self.choices = {name: c if isinstance(c, Choice) else Choice(c) for name, c in choices.items()}
        for name, choice in self.choices.items():
            for option in choice.options:
                if not isinstance(option, int | float | str) or not _WORD.fullmatch(str(option)):
                    raise AutofrError(f"option {option!r} of {name} is neither a number nor a word, as in '1-2-1'")
        self.largest = self.variant({name: len(choice) - 1 for name, choice in self.choices.items()})

    def variant(self, assignment: Mapping[str, Any]) -> str:
        """The name of the network that ``assignment`` picks: what :func:`autofr.backbones.create_backbone` takes."""
        settings = [f"{name}={choice.name(assignment[name])}" for name, choice in self.choices.items()]
        return f"{self.backbone}{',' if ':' in self.backbone else ':'}{','.join(settings)}"

    def around(self) -> list[str]:
        """The largest variant, the smallest, and every option with all others at their largest: where a choice that is
        no slice would show."""
        last = {name: len(choice) - 1 for name, choice in self.choices.items()}
        assignments = [last, dict.fromkeys(last, 0)]
        assignments += [{**last, name: k} for name, choice in self.choices.items() for k in range(len(choice) - 1)]
        return list(dict.fromkeys(self.variant(assignment) for assignment in assignments))

    def __repr__(self) -> str:
        return f"Elastic({self.backbone!r}, {', '.join(f'{name}={c!r}' for name, c in self.choices.items())})"
