"""Where a mask lies on a face: M = G(I, L; θ), the geometry of MAN's section 3.1, for a whole batch at once.

A face is measured in its own frame: the nasion is the origin, b points down the nose line, a to the image's right
across it, and the distance from nasion to chin is 1 (about 66 pixels of an aligned 112-pixel face). A mask is the part
of the face that lies below its upper edge, below the eyes, and inside the polygon of jaw and cheeks. That polygon is
taken as an intersection of half-planes, so that jitter can only cut a corner off, never cross itself.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from autofr.masks.constants import constant, places
from autofr.masks.schemes import BASE, CHIN, LEFT, LEFT_LID, LOWER_LIP, NASION, RIGHT, RIGHT_LID, TIP, UPPER_LIP

ONE_SIDED = 40.0
"""Yaw in degrees past which a mask ends at the face's profile line on the far side."""
TURNED = 62.0
"""Yaw in degrees past which landmarks are not to be trusted, and the face is left alone."""

_JAW = 12  # points of the jaw polygon between the mask's two upper corners
_ROUND = 0.05  # of the frame: how far from a corner its rounding begins
_WRAP = 0.18  # how much closer together steps on the cloth look at its sides than in its middle
_EYES_CLEAR = 0.015  # of the frame: a mask ends this far below the line of the lower lids


class Frame(NamedTuple):
    """The faces' own frames.

    Attributes:
        origin: (B, 1, 2) pixels.
        axes: (B, 2, 2); rows are the unit vectors of a and b.
        length: (B, 1, 1) pixels from nasion to chin along b.
        points: (B, 19, 2) the anchors in the frame.
        turn: (B,) yaw in degrees, see :func:`yaw`.
    """

    origin: Tensor
    axes: Tensor
    length: Tensor
    points: Tensor
    turn: Tensor

    @classmethod
    def of(cls, anchors: Tensor) -> Frame:
        """The frames of faces with anchors (B, 19, 2), float32 pixels."""
        origin = anchors[:, NASION : NASION + 1]
        down = F.normalize(anchors[:, UPPER_LIP : CHIN + 1].mean(1) - origin[:, 0], dim=-1)
        axes = torch.stack([down.flip(-1) * constant((1.0, -1.0), down.device), down], 1)
        inner = (anchors - origin) @ axes.transpose(1, 2)
        length = inner[:, CHIN, 1][:, None, None]
        points = inner / length
        left, right = -points[:, 0:2, 0].mean(1), points[:, 5:7, 0].mean(1)
        turn = torch.rad2deg(torch.atan2(left - right, 0.9 * (left + right)))
        return cls(origin, axes, length, points, turn)

    def rows(self, index: Tensor) -> Frame:
        """The frames of some of the faces."""
        return Frame(*(part[index] for part in self))

    def inward(self, points: Tensor) -> Tensor:
        """Pixels (B, P, 2) to the frame."""
        return (points - self.origin) @ self.axes.transpose(1, 2) / self.length

    def outward(self, points: Tensor) -> Tensor:
        """The frame (B, P, 2) to pixels."""
        return points @ (self.axes * self.length) + self.origin


def yaw(anchors: Tensor) -> Tensor:
    """The turn of each head in degrees, (B,), positive where the nose points to the image's right; NaN if unknown.

    Estimated from how far the nose line stands from either cheek: on a head half as deep, before the ears, as it is
    wide, and seen from afar, (near - far) / (near + far) = 0.9 tan(yaw). Good to a few degrees on a frontal face; past
    :data:`TURNED` it says no more than "turned away".

    Args:
        anchors: (B, 19, 2) pixels.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        return Frame.of(anchors.float()).turn


UNSEEN, AWAY, SIDE, FRONT = range(4)
"""Placement of a mask: no landmarks; turned away (both never masked); on one side; on the whole face."""


def placement(anchors: Tensor, width: int, height: int) -> Tensor:
    """What is done with each face, (B,) int64: :data:`UNSEEN`, :data:`AWAY`, :data:`SIDE` or :data:`FRONT`.

    ``UNSEEN``: a landmark is missing (NaN), the points do not span a face (collinear, one over the other), or its
    centre lies outside the image. ``AWAY``: turned further than :data:`TURNED`.

    Args:
        anchors: (B, 19, 2) pixels.
        width, height: of the images, pixels.
    """
    with torch.autocast(anchors.device.type, enabled=False):
        return place(anchors.float(), Frame.of(anchors.float()), width, height)


def place(anchors: Tensor, frame: Frame, width: int, height: int) -> Tensor:
    """:func:`placement` of faces whose frames are known."""
    across, down = frame.points.unbind(-1)
    spread, size = across[:, RIGHT].amax(1) - across[:, LEFT].amin(1), constant((width, height), anchors.device) - 0.5
    seen = anchors.isfinite().flatten(1).all(1) & (frame.length[:, 0, 0] > 4) & (spread > 0.3) & (spread < 4)
    lip = anchors[:, UPPER_LIP]
    seen &= (down[:, TIP] > 0) & (down[:, BASE] < 1) & ((lip > -0.5) & (lip < size)).all(1)
    turn = frame.turn.abs()
    kind = FRONT - (turn > ONE_SIDED).long() - (turn > TURNED).long()
    return torch.where(seen, kind, UNSEEN)


class Outline:
    """The outlines of a batch of masks, and the coordinates on their cloth.

    Args:
        frame: the faces', finite.
        params: rows of :class:`autofr.masks.parameters.FaceMaskGenerator`.

    Attributes:
        frame: the faces'.
        jaw: (B, P, 2) polygon in the frame, from the left upper corner round the chin to the right one.
        nose: (B, 2) where the upper edge crosses the nose line.
    """

    def __init__(self, frame: Frame, params: dict[str, Tensor]) -> None:
        self.frame, points = frame, frame.points
        chin = points[:, CHIN]
        # The nose line that the upper edge crosses: between nasion and tip (NIST's high to low nose coverage), under
        # the tip, or under the mouth.
        device = points.device
        above = points[:, places((NASION, BASE, LOWER_LIP), device)]  # by coverage
        below = points[:, places((TIP, UPPER_LIP, CHIN), device)]
        offset, reach = constant(((0.3, 0.2, 0.1), (0.5, 0.5, 0.4)), device)[..., None]
        lines = torch.lerp(above, below, offset + reach * params["height"][:, None, None])
        self.nose = lines[torch.arange(len(points), device=device), params["coverage"]]
        left, right = self._sides(points, params)
        self.jaw = self._polygon(left, right, chin, params)
        self.jaw = self._sized(self.jaw, chin, params)
        self.nose = self.nose + params["shift"]
        self.top = _parabola(self.jaw[:, 0], self.nose, self.jaw[:, -1])
        self.lids = points[:, LEFT_LID : RIGHT_LID + 1]

    @staticmethod
    def _sides(points: Tensor, params: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The contour of either side; the far side of a turned face never falls inside its profile line."""
        sides = points[:, LEFT.start : RIGHT.stop] + params["jitter"]
        # From the middle of the nose over its tip to the chin, a little outside.
        along = constant((0.0, 0.4, 0.75, 1.0), points.device)[:, None]
        ahead = torch.lerp(points[:, TIP : TIP + 1], points[:, CHIN : CHIN + 1], along)
        profile = torch.cat([points[:, NASION : TIP + 1].mean(1, keepdim=True), ahead], 1).repeat(1, 2, 1)
        outward = constant((-1.0,) * 5 + (1.0,) * 5, points.device)
        profile = profile + 0.04 * torch.stack([outward, torch.zeros_like(outward)], -1)
        inside = (sides - profile)[..., 0] * outward < 0
        left, right = torch.where(inside[..., None], profile, sides).chunk(2, 1)
        return left, right

    def _polygon(self, left: Tensor, right: Tensor, chin: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Points along the contour between the upper corners, (B, P, 2): evenly spaced on the line through it."""
        coverage, tilt = params["coverage"], params["tilt"]
        start = constant((0.3, 1.0, 2.0), chin.device)[coverage] + params["corner"]
        first, last = start + tilt, 10 - start + tilt
        contour = torch.cat([left, chin[:, None], right.flip(1)], 1)
        place = torch.lerp(
            first[:, None], last[:, None], torch.linspace(0, 1, _JAW, device=chin.device, dtype=chin.dtype)
        ).clamp(0, 10)
        # Hats: linear interpolation between the contour's points as one product.
        hats = (1 - (place[..., None] - torch.arange(11, device=chin.device)).abs()).clamp_min(0)
        return hats @ contour

    def _sized(self, jaw: Tensor, chin: Tensor, params: dict[str, Tensor]) -> Tensor:
        """Wide or round: points move across toward the nose line or from it; the chin's share moves down."""
        down = ((jaw[..., 1] - self.nose[:, None, 1]) / (chin - self.nose)[:, None, 1].clamp_min(0.05)).clamp(0, 1)
        middle = torch.lerp(self.nose[:, None, 0], chin[:, None, 0], down)
        across = middle + (jaw[..., 0] - middle) * params["width"][:, None]
        under = jaw[..., 1] + params["drop"][:, None] * down.square()
        return torch.stack([across, under], -1) + params["shift"][:, None]

    def upper_edge(self, count: int) -> Tensor:
        """Points along the upper edge from corner to corner, (B, count, 2) in the frame."""
        corners = self.jaw[:, [0, -1], 0]
        a = torch.lerp(
            corners[:, :1], corners[:, 1:], torch.linspace(0, 1, count, device=corners.device, dtype=corners.dtype)
        )
        return torch.stack([a, _at(self.top, a)], -1)

    def ears(self, params: dict[str, Tensor]) -> Tensor:
        """Where loops run to, (B, 4, 2) pixels: above and below the left ear, then the right one."""
        out, rise = params["loop_out"], params["loop_rise"]
        low = 0.1 - 0.3 * rise
        reach = torch.stack([-out, -rise, -out, low, out, -rise, out, low], -1).view(-1, 4, 2)
        roots = self.frame.points[:, places((LEFT.start, LEFT.start, RIGHT.start, RIGHT.start), out.device)]
        return self.frame.outward(roots + reach)

    def fields(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Signed distance and cloth coordinates at pixels.

        Args:
            nodes: (M, 2) pixels.

        Returns:
            Three (B, M): distance to the outline in pixels, negative inside; u across the cloth, -1 to 1 from side to
            side; v down the cloth, 0 at the upper edge, 1 at the lower.
        """
        frame, jaw = self.frame, self.jaw
        inner = frame.inward(nodes)
        a, b = inner[..., 0], inner[..., 1]
        top = _at(self.top, a)
        edge = jaw.roll(-1, 1) - jaw
        normal = F.normalize(torch.stack([-edge[..., 1], edge[..., 0]], -1), dim=-1, eps=1e-6)
        # The closing edge, from corner to corner, is the upper edge's business.
        normal, through = normal[:, :-1], jaw[:, :-1]
        # Nothing beyond the polygon's own width, however its sides lean; and, last, nothing above the lower lids.
        sides = constant(((-1.0, 0.0), (1.0, 0.0)), normal.device).expand(len(normal), -1, -1)
        bounds = torch.stack([jaw.amin(1), jaw.amax(1)], 1)
        lids = self.lids
        along = F.normalize(lids[:, 1:] - lids[:, :1], dim=-1, eps=1e-6)
        up = torch.stack([along[..., 1], -along[..., 0]], -1)
        normal = torch.cat([normal, sides, up], 1)
        through = torch.cat([through, bounds, lids.mean(1, keepdim=True) - _EYES_CLEAR * up], 1)
        offset = (normal * through).sum(-1, keepdim=True)
        planes = torch.baddbmm(offset, normal, inner.transpose(1, 2), beta=-1)
        distance, eyes = planes[:, :-1].amax(1), planes[:, -1]
        slope = 2 * self.top[:, 2:3] * a + self.top[:, 1:2]
        upper = (top - b) / (1 + slope.square()).sqrt()
        distance = _smooth_max(_smooth_max(distance, upper, _ROUND), eyes, _ROUND) * frame.length[:, 0]
        bottom = jaw[:, _JAW // 2 - 1 : _JAW // 2 + 1, 1].mean(1)[:, None]
        v = (b - top) / (bottom - _at(self.top, self.nose[:, :1])).clamp_min(0.1)
        # The sides as cloth coordinates: each half is as wide as it looks, so the far one is foreshortened.
        middle = torch.lerp(
            self.nose[:, :1], jaw[:, _JAW // 2 - 1 : _JAW // 2 + 1, 0].mean(1, keepdim=True), v.clamp(0, 1)
        )
        left = (middle - jaw[:, 1:2, 0]).clamp_min(0.05)
        right = (jaw[:, -2:-1, 0] - middle).clamp_min(0.05)
        side = a - middle
        # Cloth wraps round the cheeks: equal steps on it look shorter toward the sides.
        u = (side / torch.where(side < 0, left, right)).clamp(-1.25, 1.25)
        return distance, u * (1 - _WRAP + _WRAP * u.square()), v


def _parabola(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """Coefficients (B, 3) of b = c0 + c1 a + c2 a² through three points (B, 2), kept from folding over.

    A middle point close to a side, as on a turned face, is moved off it: the edge must not swing out there.
    """
    low, high = left[:, 0], right[:, 0]
    span = (high - low).clamp_min(0.1)
    m = torch.minimum(torch.maximum(middle[:, 0], low + 0.25 * span), high - 0.25 * span)
    slope1 = (middle[:, 1] - left[:, 1]) / (m - low).clamp_min(0.02)
    slope2 = (right[:, 1] - middle[:, 1]) / (high - m).clamp_min(0.02)
    c2 = ((slope2 - slope1) / span).clamp(-1.2, 1.2)
    c1 = slope1 - c2 * (low + m)
    c0 = middle[:, 1] - c1 * m - c2 * m * m
    return torch.stack([c0, c1, c2], -1)


def _at(coefficients: Tensor, a: Tensor) -> Tensor:
    c0, c1, c2 = coefficients[:, :, None].unbind(1)
    return c0 + a * (c1 + a * c2)


def _smooth_max(one: Tensor, other: Tensor, reach: float) -> Tensor:
    """The larger of two distances; where they are within ``reach`` of each other, the corner is rounded off."""
    return torch.maximum(one, other) + (reach - (one - other).abs()).clamp_min(0).square() / (4 * reach)
