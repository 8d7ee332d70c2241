"""ArcFace margins, and four unrelated networks: two widths of an IR net, an elastic one's plan, a small MobileFaceNet.

Each network keeps its own best weights and class centres; α decides how many members each gets. With --distil 0.5 the
others learn from the best one of the generation before.
"""

from autofr import Choice, SearchSpace
from autofr.losses import ArcFace

space = SearchSpace(
    loss=Choice(ArcFace(m) for m in (0.2, 0.3, 0.4)),
    backbone=Choice(
        "ir_mini-w0.5",
        "ir_mini",
        "iresnet:depth=2,width=0.5,widths=32-64-128,stem=2",
        "mobilefacenet:depth=1-2-1,width=0.5",
    ),
)
