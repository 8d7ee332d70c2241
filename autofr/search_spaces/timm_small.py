"""ArcFace margins, and five small networks of timm, from random weights.

They are made for larger pictures than faces of 112 pixels: ResNet-10-t and MobileNetV3 shrink their maps 32 times. Each
keeps its own best weights; with --distil 0.5 the others learn from the best one of the generation before.
"""

from autofr import Choice, SearchSpace
from autofr.losses import ArcFace

space = SearchSpace(
    loss=Choice(ArcFace(m) for m in (0.2, 0.3, 0.4)),
    backbone=Choice(
        f"timm/{name}"
        for name in ("mobilenetv3_small_075", "mobilenetv3_small_100", "lcnet_100", "ghostnet_050", "resnet10t")
    ),
)
