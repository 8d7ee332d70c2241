"""ArcFace margins 0.05 to 0.45 by 0.05: the pool of the Mask Aware Network (MAN, ICCV 2021 workshops)."""

from autofr import Choice, SearchSpace
from autofr.losses import ArcFace

space = SearchSpace(loss=Choice(ArcFace(m / 100) for m in range(5, 50, 5)))
