"""Help across architectures: the best network of the last generation tells the others how alike faces are."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TEMPERATURE = 0.1
"""Of the softmax over cosines: what is far away counts little."""


class Guide:
    """A network whose embeddings others learn from.

    Class centres are each architecture's own, so embeddings of two cannot be compared; how alike two faces are can
    (Park et al., "Relational Knowledge Distillation", CVPR 2019).

    Args:
        key: structural key of its weights; members of that key have them already, and are not helped.
        net: the network, which is put into evaluation mode.
    """

    def __init__(self, key: str, net: nn.Module) -> None:
        self.key, self.net = key, net.eval().requires_grad_(False)

    @torch.no_grad()
    def relations(self, images: Tensor) -> Tensor:
        """(B, B) cosines between the embeddings of ``images``, (B, 3, S, S)."""
        return cosines(self.net(images))


def cosines(embeddings: Tensor) -> Tensor:
    """(B, D) to (B, B) in float32."""
    unit = F.normalize(embeddings.float(), dim=1)
    return unit @ unit.T


def relation_loss(embeddings: Tensor, wanted: Tensor) -> Tensor:
    """The mean Kullback-Leibler divergence from the guide's to the learner's distribution over the other faces of the
    batch, each face's a softmax of cosines over :data:`TEMPERATURE`. 0 where both agree, and for a batch of one.

    Args:
        embeddings: the learner's, (B, D).
        wanted: the guide's cosines, (B, B).
    """
    itself = torch.eye(len(wanted), dtype=torch.bool, device=wanted.device)
    if len(wanted) < 2:
        return embeddings.sum() * 0.0
    own, told = ((c / TEMPERATURE).masked_fill(itself, -1e9).log_softmax(1) for c in (cosines(embeddings), wanted))
    return (told.exp() * (told - own)).masked_fill(itself, 0.0).sum(1).mean()
