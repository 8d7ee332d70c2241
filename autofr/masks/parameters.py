"""What one mask differs by from another: the parameters θ, drawn for a whole batch at once."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from kornia.augmentation.random_generator import RandomGeneratorBase
from torch import Tensor

from autofr.masks.fabric import KINDS, Fabrics

COVERAGE = {"full": 0.78, "half": 0.17, "chin": 0.05}
"""Shares of masks that cover nose and mouth, the mouth, the chin alone."""

MATERIAL = {
    "surgical": 0.42,
    "plain": 0.18,
    "striped": 0.06,
    "checked": 0.06,
    "dotted": 0.06,
    "floral": 0.1,
    "cup": 0.12,
    "user": 0.0,
}
"""Shares of materials; see :data:`autofr.masks.fabric.KINDS`."""

VERSION = 2
"""Of how masks look: a run made with another does not resume, since its masks would change on the way."""

GRAINS = 64
"""Patterns of pixel noise to choose from."""

# sRGB. What people wear is mostly white, light blue or black, then muted colours; few are loud.
_COLOURS = {
    "white": (0.87, 0.88, 0.89),
    "light blue": (0.54, 0.74, 0.86),
    "pale blue": (0.72, 0.84, 0.92),
    "light green": (0.60, 0.82, 0.74),
    "pink": (0.90, 0.72, 0.76),
    "black": (0.10, 0.10, 0.12),
    "charcoal": (0.21, 0.21, 0.24),
    "grey": (0.52, 0.53, 0.55),
    "navy": (0.12, 0.15, 0.30),
    "denim": (0.25, 0.36, 0.52),
    "burgundy": (0.40, 0.10, 0.15),
    "red": (0.70, 0.12, 0.14),
    "olive": (0.33, 0.35, 0.22),
    "beige": (0.78, 0.70, 0.58),
    "mustard": (0.80, 0.62, 0.22),
    "teal": (0.10, 0.45, 0.46),
    "purple": (0.38, 0.24, 0.50),
}
# Weights by kind: the mask's own colour, then those of its pattern (a surgical mask's rim, a cup's valve and print).
_CLOTH = {"white": 3.0, "black": 3, "navy": 3, "denim": 2, "charcoal": 2, "grey": 2, "burgundy": 2, "beige": 2} | {
    "red": 1.0, "olive": 1, "teal": 1, "purple": 1, "mustard": 0.7, "pink": 1, "pale blue": 1
}  # fmt: skip
_FIRST: dict[str, dict[str, float]] = {
    "surgical": {"light blue": 9, "pale blue": 4, "white": 5, "light green": 2, "black": 1.5, "pink": 0.5},
    "plain": {"black": 10, "charcoal": 4, "white": 3, "navy": 3, "grey": 2, "burgundy": 1, "beige": 1, "olive": 0.5},
    "cup": {"white": 12, "grey": 0.7, "black": 1, "beige": 1, "pale blue": 0.5},
    "cloth": _CLOTH,
}
_SECOND: dict[str, dict[str, float]] = {
    "surgical": {"white": 1},
    "cup": {"grey": 3, "white": 3, "black": 1, "light blue": 1},
    "cloth": _CLOTH | {"white": 6, "mustard": 1.5, "red": 1.5},
}
_THIRD: dict[str, dict[str, float]] = {"cup": {"grey": 2, "black": 1, "denim": 1}, "cloth": _CLOTH | {"white": 4}}


# Ranges that a mask's numbers are drawn from, evenly; three where the cut matters: wide, round, a cup. Lengths are in
# the face's frame (nasion to chin is 1).
_Range = tuple[float, float]
_RANGES: dict[str, _Range | tuple[_Range, _Range, _Range]] = {
    "height": (0.0, 1.0),
    "corner": ((-0.3, 0.15), (0.25, 0.7), (0.25, 0.7)),
    "width": ((0.96, 1.03), (0.80, 0.93), (0.80, 0.93)),
    "drop": ((-0.02, 0.04), (-0.03, 0.02), (-0.03, 0.02)),
    "exposure": (0.9, 1.05),
    "dome": ((0.08, 0.26), (0.08, 0.26), (0.16, 0.34)),
    "crumple": ((0.02, 0.12), (0.02, 0.12), (0.0, 0.03)),
    "rim": (-0.22, 0.12),
    "shadow": (0.12, 0.4),
    "softness": (0.85, 1.2),
    "loop_opacity": (0.4, 0.9),
    "loop_width": (0.6, 1.4),
    "loop_out": (0.04, 0.14),
    "loop_rise": (0.02, 0.2),
    "loop_sag": (-0.03, 0.04),
}
_VECTORS: dict[str, tuple[int, _Range]] = {
    "shift": (2, (-0.012, 0.012)),
    "fold": (3, (0.0, 6.28)),
    "brightness": (3, (0.85, 1.08)),
    "hue": (9, (-0.035, 0.035)),
}
_CHOICES = ("coverage", "kind", "cut", "design", "grain", "loops", "lower", "band", "first", "second", "third")
_ROUND = 0.15  # share of round cuts among masks that are no cups
_LOOPS = 0.85  # of masks whose loops show
_LOWER = 0.5  # of those, with the lower ones
_BAND = 0.25  # of surgical masks and cups with loops in their own colour, not white


class FaceMaskGenerator(RandomGeneratorBase):  # type: ignore[misc]
    """Draws parameters of masks; :class:`autofr.masks.RandomFaceMask` says what they do.

    Lengths are in the face's frame (nasion to chin is 1). Returns, B rows each: ``coverage`` int64; ``height`` 0 to 1
    from the highest upper edge to the lowest; ``corner``, ``tilt`` points along the contour; ``width`` factor;
    ``drop``; ``shift`` (B, 2); ``jitter`` (B, 10, 2); ``design`` int64 row of the fabrics; ``colours`` (B, 3, 3);
    ``exposure``, ``dome``, ``crumple``, ``rim``, ``shadow``, ``softness`` factors; ``fold`` (B, 3); ``grain``
    int64; ``loop_opacity``, ``loop_lower`` bool, ``loop_width`` (pixels at 112), ``loop_out``, ``loop_rise``,
    ``loop_sag``; ``loop_colour`` (B, 3).
    """

    def __init__(
        self, coverage: Mapping[str, float], material: Mapping[str, float], tilt: float, jitter: float, fabrics: Fabrics
    ) -> None:
        super().__init__()
        self.coverage, self.material, self.tilt, self.jitter = dict(coverage), dict(material), tilt, jitter
        self._first, self._count = torch.tensor(fabrics.first), torch.tensor(fabrics.count)
        self._coverage = _cumulative([list(coverage.values())])[0]
        self._kind = _cumulative([[material[kind] for kind in KINDS]])[0]
        self._colours = torch.tensor(list(_COLOURS.values()), dtype=torch.float32)
        self._tables = torch.stack([_colour_table(weights) for weights in (_FIRST, _SECOND, _THIRD)], 1)
        vectors = _VECTORS | {"tilt": (1, (-tilt, tilt)), "jitter": (20, (-jitter, jitter))}
        spread = [ranges if isinstance(ranges[0], tuple) else (ranges,) * 3 for ranges in _RANGES.values()]
        spread += [(ranges,) * 3 for count, ranges in vectors.values() for _ in range(count)]
        bounds = torch.tensor(spread, dtype=torch.float32)  # (columns, cuts, 2)
        self._low, self._span = bounds[..., 0].T.contiguous(), (bounds[..., 1] - bounds[..., 0]).T.contiguous()
        self._names = [*_RANGES, *vectors]
        self._sizes = [1] * len(_RANGES) + [count for count, _ in vectors.values()]

    def __repr__(self) -> str:
        return f"coverage={self.coverage}, material={self.material}, tilt={self.tilt}, jitter={self.jitter}"

    def make_samplers(self, device: torch.device, dtype: torch.dtype) -> None:
        self.at = device
        for name in ("_first", "_count", "_coverage", "_kind", "_colours", "_tables", "_low", "_span"):
            setattr(self, name, getattr(self, name).to(device))

    def forward(self, batch_shape: tuple[int, ...], same_on_batch: bool = False) -> dict[str, Tensor]:
        """Parameters for ``batch_shape[0]`` faces, float32 whatever the images' type: half would wobble by a pixel."""
        rows = 1 if same_on_batch else batch_shape[0]
        chances = torch.rand((rows, len(_CHOICES) + self._low.shape[1]), device=self.at, dtype=torch.float32)
        chance = dict(zip(_CHOICES, chances[:, : len(_CHOICES)].unbind(1), strict=True))

        def pick(name: str, cumulative: Tensor) -> Tensor:
            return (chance[name][:, None] >= cumulative).sum(-1).clamp_max(cumulative.shape[-1] - 1)

        kind = pick("kind", self._kind)
        cup, surgical, user = (kind == KINDS.index(name) for name in ("cup", "surgical", "user"))
        cut = torch.where(cup, 2, (chance["cut"] < _ROUND).long())
        values = self._low[cut] + self._span[cut] * chances[:, len(_CHOICES) :]
        drawn = dict(zip(self._names, torch.split(values, self._sizes, 1), strict=True))
        drawn = {name: value[:, 0] if value.shape[1] == 1 else value for name, value in drawn.items()}

        tables = self._tables[kind].unbind(1)
        palette = [
            self._colours[pick(name, table)] for name, table in zip(("first", "second", "third"), tables, strict=True)
        ]
        colours = torch.stack(palette, 1) * drawn.pop("brightness")[..., None] + drawn.pop("hue").view(-1, 3, 3)
        colours = torch.where(
            user[:, None, None], torch.eye(3, device=self.at, dtype=torch.float32), colours.clamp(0.02, 1)
        )
        white = user | ((surgical | cup) & (chance["band"] >= _BAND))
        drawn |= {
            "coverage": pick("coverage", self._coverage),
            "jitter": drawn["jitter"].view(-1, 10, 2),
            "design": self._first[kind] + (chance["design"] * self._count[kind]).long(),
            "colours": colours,
            "grain": (chance["grain"] * GRAINS).long(),
            "loop_opacity": drawn["loop_opacity"] * (chance["loops"] < _LOOPS),
            "loop_lower": chance["lower"] < _LOWER,
            "loop_colour": torch.where(white[:, None], self._colours[0], colours[:, 0]),
        }
        return {k: v.expand(batch_shape[0], *v.shape[1:]) if same_on_batch else v for k, v in drawn.items()}


def shares(given: Mapping[str, float] | str | None, usual: dict[str, float], what: str) -> dict[str, float]:
    """Probabilities of ``usual``'s names: those given, the others 0; a single name alone; or the usual ones.

    Raises:
        ValueError: an unknown name, a negative share, or none above 0.
    """
    if given is None:
        return dict(usual)
    if isinstance(given, str):
        given = {given: 1.0}
    strange = sorted(set(given) - set(usual))
    if strange:
        raise ValueError(f"unknown {what} {', '.join(strange)}; known: {', '.join(usual)}")
    filled = {name: float(given.get(name, 0.0)) for name in usual}
    if min(filled.values()) < 0 or not 0 < sum(filled.values()) < float("inf"):
        raise ValueError(f"shares of {what} are 0 or more, and some above 0; got {dict(given)}")
    return filled


def _colour_table(weights: dict[str, dict[str, float]]) -> Tensor:
    """Cumulative shares of the colours for each kind, (kinds, colours)."""
    rows = [weights.get(kind, weights["cloth"]) for kind in KINDS]
    return _cumulative([[float(row.get(name, 0)) for name in _COLOURS] for row in rows])


def _cumulative(weights: list[list[float]]) -> Tensor:
    table = torch.tensor(weights, dtype=torch.float64)
    return (table.cumsum(1) / table.sum(1, keepdim=True)).float()
