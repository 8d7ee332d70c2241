"""ArcFace margins, and the depth, width, kernel and resolution of a small IR net: 36 networks in one set of weights.

Every variant is a slice of the largest, so all of them train while any of them does. At 64 pixels they take from 8 to
226 million operations. For a budget, copy this file and add constraints=[MaxFLOPs(60e6)].
"""

from autofr import Choice, Elastic, SearchSpace
from autofr.losses import ArcFace

space = SearchSpace(
    loss=Choice(ArcFace(m) for m in (0.2, 0.3, 0.4)),
    backbone=Elastic(
        "iresnet:widths=32-64-128,stem=2",
        depth=("1-1-1", "1-2-2", "2-2-2"),
        width=(0.5, 0.75, 1.0),
        kernel=(3, 5),
        resolution=(0.75, 1.0),
    ),
)
