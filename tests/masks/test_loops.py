import torch

from autofr.masks.loops import Strokes, draw, within


def test_the_strongest_stroke_counts_and_outside_is_cut_off() -> None:
    images = torch.zeros(1, 3, 4, 5)
    strokes = within(
        x=torch.tensor([[1.0, 1.0, 4.0, 5.0, -1.0, 0.0]]),
        y=torch.tensor([[2.0, 2.0, 3.0, 0.0, 0.0, 4.0]]),
        share=torch.tensor([[0.25, 0.5, 1.0, 1.0, 1.0, 1.0]]),
        height=4,
        width=5,
    )
    drawn = draw(images.clone(), strokes, torch.tensor([[1.0, 0.5, 0.0]]))
    expected = torch.zeros(1, 3, 4, 5)
    expected[0, :, 2, 1] = torch.tensor([0.5, 0.25, 0.0])
    expected[0, :, 3, 4] = torch.tensor([1.0, 0.5, 0.0])
    torch.testing.assert_close(drawn, expected)


def test_with_a_gradient_the_same_is_drawn_and_the_input_kept() -> None:
    torch.manual_seed(0)
    images = torch.rand(3, 3, 9, 7)
    strokes = within(*torch.randint(-1, 10, (2, 3, 40)).float(), torch.rand(3, 40), 9, 7)
    colour = torch.rand(3, 3)
    leaf = images.clone().requires_grad_()
    torch.testing.assert_close(draw(leaf, strokes, colour), draw(images.clone(), strokes, colour))
    assert torch.equal(leaf, images)
    small = images[:1].double().requires_grad_()
    part = Strokes(*(s[:1] for s in strokes))
    assert torch.autograd.gradcheck(lambda x: draw(x, part, colour[:1]), (small,))
