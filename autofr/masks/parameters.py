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
_CLOTH: dict[str, float] = {
    "white": 3,
    "black": 3,
    "navy": 3,
    "denim": 2,
    "charcoal": 2,
    "grey": 2,
    "burgundy": 2,
    "beige": 2,
    "red": 1,
}
_CLOTH |= {"olive": 1, "teal": 1, "purple": 1, "mustard": 0.7, "pink": 1, "pale blue": 1}
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
        self._kind = _cumulative([list(material.values())])[0]
        self._colours = torch.tensor(list(_COLOURS.values()))
        self._tables = torch.stack([_colour_table(weights) for weights in (_FIRST, _SECOND, _THIRD)])

    def __repr__(self) -> str:
        return f"coverage={self.coverage}, material={self.material}, tilt={self.tilt}, jitter={self.jitter}"

    def make_samplers(self, device: torch.device, dtype: torch.dtype) -> None:
        self.at = device
        for name in ("_first", "_count", "_coverage", "_kind", "_colours", "_tables"):
            setattr(self, name, getattr(self, name).to(device))

    def forward(self, batch_shape: tuple[int, ...], same_on_batch: bool = False) -> dict[str, Tensor]:
        """Parameters for ``batch_shape[0]`` faces, float32 whatever the images' type: half would wobble by a pixel."""
        rows = 1 if same_on_batch else batch_shape[0]

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand((rows, *shape), device=self.at, dtype=torch.float32)

        def pick(cumulative: Tensor) -> Tensor:
            return (uniform(0, 1, 1) >= cumulative).sum(-1).clamp_max(cumulative.shape[-1] - 1)

        coverage, kind = pick(self._coverage), pick(self._kind)
        cup, surgical, user = (kind == KINDS.index(name) for name in ("cup", "surgical", "user"))
        colours = torch.stack([self._colours[pick(table[kind])] for table in self._tables], 1)
        colours = (colours * uniform(0.85, 1.08, 3, 1) + uniform(-0.035, 0.035, 3, 3)).clamp(0.02, 1)
        colours = torch.where(user[:, None, None], torch.eye(3, device=self.at), colours)
        band = torch.where((surgical | cup)[:, None], self._colours[0], colours[:, 0])
        band = torch.where((uniform(0, 1) < 0.25)[:, None], colours[:, 0], band)
        round_ = cup | (uniform(0, 1) < 0.15)
        drawn = {
            "coverage": coverage,
            "height": uniform(0, 1),
            "corner": torch.where(round_, uniform(0.25, 0.7), uniform(-0.3, 0.15)),
            "tilt": uniform(-self.tilt, self.tilt),
            "width": torch.where(round_, uniform(0.80, 0.93), uniform(0.96, 1.03)),
            "drop": torch.where(round_, uniform(-0.03, 0.02), uniform(-0.02, 0.04)),
            "shift": uniform(-0.012, 0.012, 2),
            "jitter": uniform(-self.jitter, self.jitter, 10, 2),
            "design": self._first[kind] + (uniform(0, 1) * self._count[kind]).long(),
            "colours": colours,
            "exposure": uniform(0.9, 1.05),
            "dome": torch.where(cup, uniform(0.16, 0.34), uniform(0.08, 0.26)),
            "crumple": torch.where(cup, uniform(0.0, 0.03), uniform(0.02, 0.12)),
            "fold": uniform(0, 6.28, 3),
            "rim": uniform(-0.22, 0.12),
            "shadow": uniform(0.12, 0.4),
            "softness": uniform(0.85, 1.2),
            "grain": (uniform(0, 1) * GRAINS).long(),
            "loop_opacity": uniform(0.4, 0.9) * (uniform(0, 1) < 0.85),
            "loop_lower": uniform(0, 1) < 0.5,
            "loop_width": uniform(0.6, 1.4),
            "loop_out": uniform(0.04, 0.14),
            "loop_rise": uniform(0.02, 0.2),
            "loop_sag": uniform(-0.03, 0.04),
            "loop_colour": band,
        }
        return {k: v.expand(batch_shape[0], *v.shape[1:]) if same_on_batch else v for k, v in drawn.items()}


def shares(given: Mapping[str, float] | None, usual: dict[str, float], what: str) -> dict[str, float]:
    """Probabilities of ``usual``'s names: those given, the others 0; or the usual ones.

    Raises:
        ValueError: an unknown name, a negative share, or none above 0.
    """
    if given is None:
        return dict(usual)
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
