"""RandomFaceMask: masks painted onto a batch of faces from their landmarks."""

from __future__ import annotations

from typing import Any, cast

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from kornia.augmentation.random_generator import RandomGeneratorBase
from torch import Tensor
from torch.nn import functional as F

from autofr.masks.landmarks import COUNT, LEFT_CONTOUR, NOSE_BASE, NOSE_BRIDGE, RIGHT_CONTOUR

PALETTE = (
    # what is mostly worn: whites, surgical blues, black, greys, muted colours (sRGB, 0 to 1)
    *((0.92, 0.93, 0.94), (0.86, 0.88, 0.90), (0.60, 0.76, 0.86), (0.48, 0.68, 0.80), (0.70, 0.82, 0.86)),
    *((0.08, 0.08, 0.09), (0.15, 0.15, 0.17), (0.45, 0.46, 0.48), (0.62, 0.62, 0.60)),
    *((0.18, 0.24, 0.38), (0.45, 0.20, 0.22), (0.30, 0.38, 0.30), (0.75, 0.62, 0.60), (0.55, 0.45, 0.36)),
)
_TOP_EDGE = 9  # points that draw the curved upper edge, its two ends not counted


class FaceMaskGenerator(RandomGeneratorBase):  # type: ignore[misc]
    """Draws what one mask differs by from another; see :class:`RandomFaceMask` for the ranges.

    Returns (B rows each): ``full`` bool; ``tilt`` radians; ``rise``, ``grow`` shares of the face's width; ``colour``
    (B, 3); ``softness`` pixels at 112; ``jitter`` (B, 10, 2) shares of the face's width.
    """

    def __init__(self, full: float, tilt: float, jitter: float) -> None:
        super().__init__()
        self.full, self.tilt, self.jitter = full, tilt, jitter

    def __repr__(self) -> str:
        return f"full={self.full}, tilt={self.tilt}, jitter={self.jitter}"

    def make_samplers(self, device: torch.device, dtype: torch.dtype) -> None:
        self.at = device

    def forward(self, batch_shape: tuple[int, ...], same_on_batch: bool = False) -> dict[str, Tensor]:
        rows = 1 if same_on_batch else batch_shape[0]

        # float32 whatever the images' type: geometry in half precision would wobble by a pixel.
        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand((rows, *shape), device=self.at, dtype=torch.float32)

        palette = torch.tensor(PALETTE, device=self.at, dtype=torch.float32)
        base = palette[torch.randint(len(PALETTE), (rows,), device=self.at)]
        drawn = {
            "full": uniform(0, 1) < self.full,
            "tilt": uniform(-self.tilt, self.tilt),
            "rise": uniform(-0.06, 0.03),
            "grow": uniform(0.0, 0.05),
            "colour": (base + uniform(-0.06, 0.06, 3)).clamp(0, 1),
            "softness": uniform(0.7, 2.0),
            "jitter": uniform(-self.jitter, self.jitter, 10, 2),
        }
        return {k: v.expand(batch_shape[0], *v.shape[1:]) if same_on_batch else v for k, v in drawn.items()}


class RandomFaceMask(IntensityAugmentationBase2D):  # type: ignore[misc]
    """Paints a face mask over the mouth (half) or mouth and nose (full) of each drawn face.

    The outline runs through 10 contour points, 5 a side, and over the nose; it is oblique, jittered, coloured,
    shaded by the face's own light and soft at its edge (MAN, section 3.1). Parameters differ from sample to sample,
    are drawn for the whole batch at once, and are replayed by ``mask(images, params=mask._params)``. Differentiable
    in the image. Only the drawn rows are rendered.

    Args:
        p: probability that a face is masked (MAN: 0.2).
        full: probability that a mask covers the nose; otherwise it ends under the tip.
        tilt: largest obliqueness of the upper edge, radians.
        jitter: largest shift of a contour point, as a share of the face's width.
        same_on_batch: the same parameters for every sample.
        keepdim: keep (C, H, W) inputs three-dimensional.

    Example:
        >>> mask = RandomFaceMask(p=0.2)
        >>> masked = mask(images, landmarks)  # (B, 3, H, W) in [0, 1]; (B, 68, 2) pixels
    """

    def __init__(
        self,
        p: float = 0.2,
        full: float = 0.7,
        tilt: float = 0.12,
        jitter: float = 0.02,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, p_batch=1.0, keepdim=keepdim)
        self._param_generator = FaceMaskGenerator(full, tilt, jitter)

    def forward(
        self,
        input: Tensor,
        landmarks: Tensor | None = None,
        params: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Mask a batch.

        Args:
            input: (B, 3, H, W) or (3, H, W), floating point in [0, 1].
            landmarks: (B, 68, 2) or (68, 2) pixels of the input; a face with NaN among them is never masked. May be
                left out when ``params`` are replayed, which hold them.
            params: the ``_params`` of an earlier call.

        Returns:
            Images of the input's dtype. Rows that were not drawn keep their exact values.

        Raises:
            ValueError: no landmarks, or another number of them than images.
        """
        if params is None:
            faces = input.shape[0] if input.dim() == 4 else 1
            if landmarks is None:
                raise ValueError("RandomFaceMask needs landmarks: mask(images, landmarks)")
            landmarks = landmarks.reshape(-1, *landmarks.shape[-2:])
            if landmarks.shape != (faces, COUNT, 2):
                raise ValueError(f"{faces} images need landmarks ({faces}, {COUNT}, 2), got {tuple(landmarks.shape)}")
            shape = torch.Size([faces, *input.shape[-3:]])
            params = self.forward_parameters(shape)
            params["landmarks"] = landmarks.to(input.device, torch.float32)
        return cast(Tensor, super().forward(input, params=params, **kwargs))

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        seen = params["landmarks"].isfinite().flatten(1).all(1)
        drawn = params["batch_prob"].to(seen.device).expand(len(seen)) > 0.5
        rows = (seen & drawn).nonzero().squeeze(1)
        if not len(rows):
            return input
        names = ("landmarks", "full", "tilt", "rise", "grow", "colour", "softness", "jitter")
        chosen = {name: params[name].to(input.device)[rows] for name in names}
        faces = input[rows]
        return input.index_copy(0, rows, _paint(faces, chosen))


def mask_outline(params: dict[str, Tensor]) -> Tensor:
    """The outline of each mask as a closed polygon, (B, 21, 2) pixels: the contour, then the upper edge back.

    Args:
        params: rows of :class:`FaceMaskGenerator`, with ``landmarks`` (B, 68, 2).
    """
    landmarks, full = params["landmarks"], params["full"][:, None]
    contour = landmarks[:, LEFT_CONTOUR + RIGHT_CONTOUR[::-1]]
    width = (contour[:, -1] - contour[:, 0]).norm(dim=-1)[:, None]
    # A half mask leaves the highest contour point of each side free: its corners move down to the next ones.
    half = contour[:, [1, 1, 2, 3, 4, 5, 6, 7, 8, 8]]
    contour = torch.where(full[..., None], contour, half) + params["jitter"] * width[..., None]
    centre = contour.mean(1, keepdim=True)
    contour = centre + (contour - centre) * (1 + params["grow"][:, None, None])
    # Tilt: the corners turn about the nose, so that one side rises and the other falls.
    nose = torch.where(full, landmarks[:, NOSE_BRIDGE], landmarks[:, NOSE_BASE])
    lift = torch.stack([torch.zeros_like(width), params["tilt"][:, None] * width / 2], dim=-1)[:, 0]
    left, right = contour[:, 0] + lift, contour[:, -1] - lift
    contour = torch.cat([left[:, None], contour[:, 1:-1], right[:, None]], dim=1)
    axis = F.normalize(landmarks[:, NOSE_BASE] - landmarks[:, 27], dim=-1)
    nose = nose - axis * params["rise"][:, None] * width
    # The upper edge: the quadratic Bézier curve from right to left that passes through the nose point.
    control = 2 * nose - (left + right) / 2
    t = torch.linspace(0, 1, _TOP_EDGE + 2, device=nose.device)[1:-1, None]
    top = (1 - t) ** 2 * right[:, None] + 2 * t * (1 - t) * control[:, None] + t**2 * left[:, None]
    return torch.cat([contour, top], dim=1)


def signed_distance(polygon: Tensor, height: int, width: int) -> Tensor:
    """Distance in pixels of every pixel centre to each polygon's edge, negative inside (even-odd): (B, H, W)."""
    ys = torch.arange(height, device=polygon.device, dtype=polygon.dtype)[:, None]
    xs = torch.arange(width, device=polygon.device, dtype=polygon.dtype)
    nearest = polygon.new_full((len(polygon), height, width), torch.inf)
    inside = torch.zeros(nearest.shape, dtype=torch.bool, device=polygon.device)
    # Edge by edge over the whole batch: all edges at once would hold 21 images for each face.
    for start, end in zip(polygon.unbind(1), polygon.roll(-1, 1).unbind(1), strict=True):
        x0, y0, x1, y1 = (c[:, None, None] for c in (*start.unbind(-1), *end.unbind(-1)))
        dx, dy = x1 - x0, y1 - y0
        px, py = xs - x0, ys - y0
        along = ((px * dx + py * dy) / (dx * dx + dy * dy).clamp_min(1e-9)).clamp(0, 1)
        nearest = torch.minimum(nearest, (px - dx * along).square() + (py - dy * along).square())
        crosses = (y0 > ys) != (y1 > ys)
        inside ^= crosses & (px < dx * py / torch.where(dy == 0, torch.ones_like(dy), dy))
    distance = nearest.sqrt()
    return torch.where(inside, -distance, distance)


def _paint(faces: Tensor, params: dict[str, Tensor]) -> Tensor:
    height, width = faces.shape[-2:]
    with torch.no_grad():
        distance = signed_distance(mask_outline(params), height, width)
        softness = params["softness"][:, None, None] * (height / 112)
        opacity = (0.5 - distance / softness).clamp(0, 1)[:, None].to(faces.dtype)
        # The cloth takes the light that the face is in: its luminance, blurred to an eighth, about its mean.
        light = faces.float().mean(1, keepdim=True)
        light = F.interpolate(F.adaptive_avg_pool2d(light, 8), (height, width), mode="bilinear", align_corners=False)
        light = (light / light.mean((2, 3), keepdim=True).clamp_min(0.05)).clamp(0.5, 1.3) * 0.6 + 0.4
        cloth = (params["colour"][:, :, None, None] * light).clamp(0, 1).to(faces.dtype)
    return faces * (1 - opacity) + cloth * opacity
