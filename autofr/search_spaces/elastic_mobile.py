"""ArcFace margins, and the depth, width, kernel and resolution of a MobileFaceNet of 450 million operations at most.

The largest variant without the large kernels is MobileFaceNet as published: 442 million operations at 112 pixels, a
multiply-add counted as two, and a million parameters.
"""

from autofr import Choice, Elastic, MaxFLOPs, SearchSpace
from autofr.losses import ArcFace

space = SearchSpace(
    loss=Choice(ArcFace(m) for m in (0.2, 0.3, 0.4)),
    backbone=Elastic(
        "mobilefacenet",
        depth=("1-2-1", "2-4-1", "4-6-2"),
        width=(0.5, 0.75, 1.0),
        kernel=(3, 5),
        resolution=(0.75, 1.0),
    ),
    constraints=[MaxFLOPs(450e6)],
)
