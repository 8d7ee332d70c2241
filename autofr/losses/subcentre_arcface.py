"""Sub-centre ArcFace: several centres a class, so that mislabelled faces may have one of their own."""

from __future__ import annotations

from typing import Any

from autofr.losses.arcface import ArcFace


class SubCentreArcFace(ArcFace):
    """Sub-centre ArcFace (Deng et al., ECCV 2020): a class's cosine is the largest over its k centres.

    A member keeps as many centres a class as the largest k in its space; losses with fewer use the first ones.

    Args:
        m: margin in radians, 0 to π/2.
        k: centres a class, 1 or more; the paper's is 3. At 1 this is :class:`ArcFace`.
        s: scale of the logits; the paper's is 64. ``None``: the recipe's.
    """

    def __init__(self, m: float = 0.5, k: int = 3, s: float | None = None) -> None:
        super().__init__(m, s)
        if not (isinstance(k, int) and k >= 1):
            raise ValueError(f"SubCentreArcFace's k is a whole number, 1 or more, got {k}")
        self.sub_centres = k

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "k": self.sub_centres}
