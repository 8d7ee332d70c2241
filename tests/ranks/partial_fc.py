"""Be one of several ranks of Partial FC, which find what one process does.

Started in tests/engine/test_distributed.py: test_class_centres_on_several_ranks_are_those_of_one.
"""

import copy
import sys

import torch
from torch.nn import functional as F

from autofr.compute.collectives import average
from autofr.compute.mesh import Shape, joined, parts
from autofr.losses import LOSSES, create_loss
from autofr.losses.base import goes_by_parts
from autofr.losses.partial_fc import PartialFC

CLASSES, DIM, SIZES = 11, 6, [4, 1, 3]
CPU = torch.device("cpu")


def same(found: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6, msg=lambda told: f"{what}: {told}")


with joined(Shape(data=int(sys.argv[1])), 1, CPU) as mesh:
    sizes = SIZES[: mesh.data]
    generator = torch.Generator().manual_seed(5)
    everything = torch.randn(sum(sizes), DIM, generator=generator, dtype=torch.float64) * 5
    labels = torch.randint(CLASSES, (sum(sizes),), generator=generator)
    own = slice(sum(sizes[: mesh.part]), sum(sizes[: mesh.part + 1]))
    pool = [make() for _, make in sorted(LOSSES.items())]
    for loss in pool:
        loss.s = 16.0
        loss.double()
    for loss in pool:
        assert goes_by_parts(loss), loss
        torch.manual_seed(0)
        whole = PartialFC(CLASSES, DIM, loss.sub_centres).double()
        torch.manual_seed(0)
        head = PartialFC(CLASSES, DIM, loss.sub_centres, mesh=mesh).double()
        mine, other = everything[own].clone().requires_grad_(), everything.clone().requires_grad_()
        alone = copy.deepcopy(loss)
        for _ in range(2):  # the second time, its averages have moved
            for tensors in (whole, head, loss, alone):
                tensors.zero_grad()
            mine.grad = other.grad = None
            torch.manual_seed(7)
            expected = whole(other, labels, alone)
            torch.manual_seed(7)
            found = head(mine, labels[own], loss, sizes)
            expected.backward()
            found.backward()
            head.scale_gradients()
            same(found, expected, f"{loss}: value")
            # What flows back is of the sum of the ranks' losses: means over ranks are of the loss.
            same(mine.grad / mesh.data, other.grad[own], f"{loss}: embeddings")
            for a, b in zip(head.blocks, whole.blocks, strict=True):
                assert torch.equal(a, b[head.first : head.last])
                same(a.grad, b.grad[head.first : head.last], f"{loss}: centres")
            learned = [p.grad for p in loss.parameters()]
            average(learned, mesh)
            for a, p in zip(learned, alone.parameters(), strict=True):
                same(a, p.grad, f"{loss}: its own")
            for a, b in zip(loss.buffers(), alone.buffers(), strict=True):
                same(a, b, f"{loss}: averages")

    # Below rate 1: every rank meets the classes of all faces that it has, and the loss is of the rows met.
    loss = create_loss("arcface:m=0.3,s=16")
    torch.manual_seed(0)
    head = PartialFC(200, DIM, rate=0.1, mesh=mesh).double()
    optimizer = torch.optim.SGD(head.parameters_to_train, lr=0.1, momentum=0.9)
    labels = torch.randint(200, (sum(sizes),), generator=generator)
    torch.manual_seed(mesh.part)
    head.draw(labels[own], optimizer, sizes)
    drawn = mesh.of_partners([row + head.first for row in head._rows.tolist()])
    met = [row for part in drawn for row in part]
    assert set(labels.tolist()) <= set(met)
    assert len(met) == sum(max(-(-len(p) // 10), min(len(p), sum(sizes))) for p in parts(200, mesh.data))
    torch.manual_seed(0)
    whole = PartialFC(200, DIM).double()
    places = torch.tensor([met.index(label) for label in labels.tolist()])
    cosines = F.normalize(everything, dim=1) @ F.normalize(whole.blocks[0].detach()[met], dim=1).T
    same(head(everything[own], labels[own], loss, sizes), loss(cosines, places), "a sample")
    if mesh.lead:
        print(f"{len(pool)} losses and a sample on {mesh.data} ranks: the same")
