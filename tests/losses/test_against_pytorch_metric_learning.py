"""The losses that pytorch-metric-learning has too, on the same embeddings and centres."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as theirs
from torch.nn.functional import normalize

from autofr.losses import ArcFace, CombinedMargin, CosFace, MarginLoss, NormSoftmax, SubCentreArcFace

CLASSES, DIM, SUB = 7, 12, 3


@pytest.mark.parametrize(
    ("ours", "make"),
    [
        (ArcFace(0.35, 20), lambda: theirs.ArcFaceLoss(CLASSES, DIM, margin=math.degrees(0.35), scale=20)),
        (CosFace(0.25, 20), lambda: theirs.CosFaceLoss(CLASSES, DIM, margin=0.25, scale=20)),
        (NormSoftmax(20), lambda: theirs.NormalizedSoftmaxLoss(CLASSES, DIM, temperature=1 / 20)),
        (CombinedMargin(3, 0, 0, 20), lambda: theirs.SphereFaceLoss(CLASSES, DIM, margin=3, scale=20)),
        (
            SubCentreArcFace(0.35, SUB, 20),
            lambda: theirs.SubCenterArcFaceLoss(
                num_classes=CLASSES, embedding_size=DIM, margin=math.degrees(0.35), scale=20, sub_centers=SUB
            ),
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, MarginLoss) else "",
)
def test_same_loss_and_gradient_of_the_centres(ours: MarginLoss, make) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    other = make()
    labels = torch.randint(CLASSES, (10,))
    # Unit length (SphereFace multiplies by it), and near their centres: far ones are continued in another way.
    centres = normalize(torch.randn(CLASSES * ours.sub_centres, DIM, dtype=torch.float64), dim=1)
    embeddings = normalize(centres[labels] + 0.2 * torch.randn(10, DIM, dtype=torch.float64), dim=1)
    # Theirs has (D, C) centres, a class's sub-centres side by side; ours all first ones, then all second ones.
    order = torch.arange(CLASSES * ours.sub_centres).view(ours.sub_centres, CLASSES).T.flatten()
    other.W.data = centres[order].T.clone()
    weight = centres.clone().requires_grad_()
    value = ours(embeddings @ normalize(weight, dim=1).T, labels)
    value.backward()
    expected = other(embeddings, labels)
    expected.backward()
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-9)
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad[order], other.W.grad.T, rtol=1e-7, atol=1e-9)
