"""What masks are made of: cloth drawn by formula, once, as a bank of small textures.

A texture has three channels: how much of the mask's first, second and third colour shows at each of its pixels, times
the light that its relief (pleats, seams, creases, a cup's dome) reflects there. So one sampling of a batch gives
pattern and relief together, in any colours.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from autofr.exceptions import AutofrError
from autofr.io.images import SUFFIXES, read_image

HEIGHT, WIDTH = 64, 96
"""Texels of a texture: one for about each pixel of a mask on a 112-pixel face."""
BLURS = (0.0, 0.8, 1.6)
"""Each texture is kept sharp and blurred, by these standard deviations in texels: photographs differ in focus."""

KINDS = ("surgical", "plain", "striped", "checked", "dotted", "floral", "cup", "user")
"""``user``, textures from a folder, comes last. Each other kind is a method of :class:`_Draughtsman`."""
_EACH = {"surgical": 8, "plain": 6, "striped": 5, "checked": 5, "dotted": 5, "floral": 7, "cup": 8}


@dataclass(frozen=True)
class Fabrics:
    """The bank.

    Attributes:
        textures: (N * len(BLURS), 3, HEIGHT, WIDTH) float32; a design's blurred copies follow it.
        first, count: of each kind's designs, by the order of :data:`KINDS`.
    """

    textures: Tensor
    first: tuple[int, ...]
    count: tuple[int, ...]


def load_fabrics(folder: str | Path | None = None) -> Fabrics:
    """The drawn designs, and a user's.

    Args:
        folder: images of cloth, used with their own colours; each is shown whole on the mask, its top at the nose.

    Raises:
        AutofrError: no such folder, no image in it, or one that cannot be read.
    """
    drawn = _drawn()
    if folder is None:
        return drawn
    own = _user_textures(Path(folder))
    first = (*drawn.first[:-1], len(drawn.textures) // len(BLURS))
    return Fabrics(torch.cat([drawn.textures, _blurred(own)]), first, (*drawn.count[:-1], len(own)))


@lru_cache(maxsize=1)
@torch.inference_mode(False)  # what is kept must also serve calls that need gradients
def _drawn() -> Fabrics:
    designs: list[Tensor] = []
    first, count = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # thousands of tiny operations: handing each to a second thread costs more than it saves
    try:
        for kind in KINDS[:-1]:
            draw = getattr(_Draughtsman(zlib.crc32(kind.encode())), kind)
            first.append(len(designs))
            count.append(_EACH[kind])
            designs += [draw(i) for i in range(_EACH[kind])]
        textures = _blurred(torch.stack(designs))
    finally:
        torch.set_num_threads(threads)
    return Fabrics(textures, (*first, len(designs)), (*count, 0))


def _blurred(designs: Tensor) -> Tensor:
    copies = [designs]
    for sigma in BLURS[1:]:
        size = 2 * math.ceil(3 * sigma) + 1
        copies.append(gaussian_blur2d(designs, (size, size), (sigma, sigma), border_type="replicate"))
    return torch.stack(copies, 1).flatten(0, 1)


def _user_textures(folder: Path) -> Tensor:
    if not folder.is_dir():
        raise AutofrError(f"no such folder of textures {folder}")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise AutofrError(f"{folder} holds no images to take for textures")
    try:
        return torch.stack([torch.from_numpy(read_image(p, WIDTH, HEIGHT)[0].copy()).float() / 255 for p in paths])
    except OSError as error:
        raise AutofrError(f"a texture cannot be read: {error}") from error


class _Draughtsman:
    """Draws designs. x runs over the cloth from -1 to 1, y from 0 at its upper edge to 1; both (HEIGHT, WIDTH)."""

    def __init__(self, seed: int) -> None:
        self.rng = torch.Generator().manual_seed(seed)
        self.y, self.x = torch.meshgrid(
            (torch.arange(HEIGHT, dtype=torch.float32) + 0.5) / HEIGHT,
            (torch.arange(WIDTH, dtype=torch.float32) + 0.5) / WIDTH * 2 - 1,
            indexing="ij",
        )

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.rng, dtype=torch.float32)

    def surgical(self, index: int) -> Tensor:
        """Three or four pleats, a nose wire, welded rims."""
        x, y = self.x, self.y
        relief = 1 + self.creases(0.06)
        sag = self.uniform(-0.06, 0.06) * x.square()
        pleats = 3 if index % 3 else 4
        for k in range(pleats):
            at = 0.2 + 0.58 * (k + 0.5) / pleats + self.uniform(-0.03, 0.03) + sag * (1 - 2 * k / pleats)
            at = at + self.uniform(-0.02, 0.02) * x
            depth = self.uniform(0.16, 0.34)
            # A fold's lip catches the light, what lies under it is in shadow that fades downward.
            relief = relief + 0.4 * depth * _line(y - at + 0.02, 0.016) - depth * _line(y - at, 0.014)
            below = (y - at).clamp_min(0)
            relief = relief - 0.35 * depth * torch.exp(-below / 0.05) * (y > at)
        wire = self.uniform(0.05, 0.09)
        short = torch.sigmoid((self.uniform(0.35, 0.5) - x.abs()) / 0.03)
        relief = relief + short * (0.07 * _line(y - wire, 0.02) - 0.08 * _line(y - wire - 0.04, 0.016))
        rim = 0.05 if index % 2 else 0.085
        weld = _line(y - rim, 0.01) + _line(y - (1 - rim), 0.01) + _line(x.abs() - 0.94, 0.012)
        dots = 0.5 + 0.5 * torch.cos(x * 150) * torch.cos(y * 110)
        relief = relief - 0.09 * weld * dots
        white = torch.sigmoid((rim - y) / 0.008) * (index % 4 == 1)
        return self.composed(relief, second=white)

    def plain(self, index: int) -> Tensor:
        """One colour: foam or jersey, with or without a seam down the middle."""
        relief = 1 + self.creases(0.1) + (self.seam() if index % 2 else self.nose_dart())
        relief = relief + 0.02 * torch.cos(self.x * 140) * torch.cos(self.y * 100) * (index % 3 == 0)
        if index % 3 == 1:
            relief = relief + self.piping()
        return self.composed(relief)

    def striped(self, index: int) -> Tensor:
        angle = (0.0, math.pi / 2, 0.6, 0.0, 1.2)[index % 5] + self.uniform(-0.1, 0.1)
        wave = self.wave(self.uniform(9, 24), angle)
        second = torch.sigmoid((wave - self.uniform(-0.5, 0.6)) / 0.12)
        third = torch.sigmoid((-wave - 0.8) / 0.1) * (index % 2)
        return self.composed(self.sewn(index), second, third)

    def checked(self, index: int) -> Tensor:
        angle, count = float(self.uniform(-0.2, 0.2)) + (math.pi / 4) * (index % 3 == 2), self.uniform(10, 22)
        one, other = self.wave(count, angle), self.wave(count, angle + math.pi / 2)
        a, b = torch.sigmoid(one / 0.15), torch.sigmoid(other / 0.15)
        # Gingham: threads cross, half tone where one colour meets the other. Else a chessboard's hard squares.
        second = 0.5 * (a + b) if index % 2 else a * b + (1 - a) * (1 - b)
        third = _line(one - 0.9, 0.12) * 0.8 if index % 3 == 0 else torch.zeros_like(a)
        return self.composed(self.sewn(index), second, third * (1 - second))

    def dotted(self, index: int) -> Tensor:
        count, angle = self.uniform(9, 20), self.uniform(0.3, 0.9)
        height = self.wave(count, angle) + self.wave(count, angle + math.pi / 2)
        second = torch.sigmoid((height - self.uniform(0.7, 1.2)) / 0.15)
        third = torch.sigmoid((-height - 1.3) / 0.15) * (index % 2)
        return self.composed(self.sewn(index), second, third)

    def floral(self, index: int) -> Tensor:
        """Flowers with five petals and a heart, and leaves between them."""
        second, third = torch.zeros_like(self.x), torch.zeros_like(self.x)
        for _ in range(int(self.uniform(14, 34))):
            x, y = self.uniform(-1, 1), self.uniform(0, 1)
            size, turn = self.uniform(0.05, 0.13), self.uniform(0, 6.28)
            dx, dy = self.x - x, (self.y - y) * 1.35
            far, at = (dx.square() + dy.square()).sqrt(), torch.atan2(dy, dx)
            petals = torch.sigmoid((size * (0.75 + 0.3 * torch.cos(5 * at + turn)) - far) / 0.012)
            heart = torch.sigmoid((0.3 * size - far) / 0.01)
            if index % 3 == 2:  # leaves and blots, of either colour
                petals = torch.sigmoid((size * (0.7 + 0.4 * torch.cos(2 * at + turn)) - far) / 0.012)
                heart = petals * float(self.uniform(0, 1) > 0.5)
            second = torch.maximum(second * (1 - heart), petals - heart)
            third = torch.maximum(third * (1 - petals + heart), heart)
        return self.composed(self.sewn(index), second.clamp(0, 1), third)

    def cup(self, index: int) -> Tensor:
        """N95 and its kin: a moulded dome or a fold down the middle, a rim, a valve on every third."""
        x, y = self.x, self.y
        far = (x.square() * 0.9 + (2 * (y - 0.5)).square() * 0.7).sqrt()
        relief = 1.04 + 0.06 * (1 - far.square()) - 0.12 * _line(far - 0.93, 0.03) + self.creases(0.025)
        if index % 2:  # folded flat: an edge down the middle, one side lighter, welds across
            relief = relief + 0.07 * torch.tanh(-x / 0.03) * torch.exp(-x.abs() / 0.5)
            relief = relief + 0.09 * _line(x, 0.014)
            bow = 0.35 + 0.25 * x.square()
            dots = 0.5 + 0.5 * torch.cos(x * 160)
            relief = relief - 0.07 * dots * (_line(y - bow, 0.01) + _line(y - (1.02 - bow + 0.3), 0.01))
        else:  # moulded: two shallow steps round the dome
            relief = relief - 0.06 * _line(far - 0.62, 0.02) + 0.04 * _line(far - 0.58, 0.025)
        wire = torch.sigmoid((0.32 - x.abs()) / 0.03)
        relief = relief + wire * (0.09 * _line(y - 0.07, 0.02) - 0.1 * _line(y - 0.11, 0.016))
        second, third = torch.zeros_like(x), torch.zeros_like(x)
        if index % 3 == 1:
            dx, dy = (x - self.uniform(-0.3, 0.3)) * 1.0, (y - self.uniform(0.5, 0.62)) * 1.35
            disc = (dx.abs().pow(3) + dy.abs().pow(3)).pow(1 / 3)
            second = torch.sigmoid((0.2 - disc) / 0.012)
            relief = relief - 0.2 * _line(disc - 0.21, 0.014) + 0.08 * _line(disc - 0.15, 0.02)
            relief = relief - 0.08 * second * (0.5 + 0.5 * torch.cos(dy * 60))
        elif index % 3 == 2:  # a line or two of print
            for row in (0.55, 0.62):
                ink = (torch.cos(x * 90 + 3 * row) + torch.cos(x * 37) > 0.4).float()
                third = third + 0.45 * ink * _line(y - row, 0.014) * torch.sigmoid((0.25 - (x - 0.3).abs()) / 0.02)
        return self.composed(relief, second, third)

    def sewn(self, index: int) -> Tensor:
        """Relief of a sewn mask: creases and, by turns, a seam, a hem, or two pleats."""
        relief = 1 + self.creases(0.1)
        if index % 3 == 0:
            return relief + self.seam()
        if index % 3 == 1:
            return relief + self.piping()
        for at in (0.36, 0.6):
            edge = self.y - at - self.uniform(-0.02, 0.02) * self.x
            relief = relief - 0.16 * _line(edge, 0.016) + 0.07 * _line(edge + 0.025, 0.02)
        return relief

    def seam(self) -> Tensor:
        bend = self.x - 0.05 * torch.sin(3 * self.y)
        return -0.14 * _line(bend, 0.014) + 0.05 * _line(bend.abs() - 0.05, 0.03) + 0.04 * torch.tanh(-self.x / 0.2)

    def nose_dart(self) -> Tensor:
        """A fold from the nose's bridge down either side."""
        dart = self.x.abs() - 0.1 - 0.5 * self.y
        return (0.08 * _line(dart + 0.05, 0.05) - 0.09 * _line(dart, 0.05)) * torch.exp(-self.y / 0.35)

    def piping(self) -> Tensor:
        rim = torch.minimum(torch.minimum(self.y, 1 - self.y) * 1.35, 1 - self.x.abs())
        return -0.15 * _line(rim - 0.075, 0.012) + 0.05 * _line(rim - 0.04, 0.03)

    def creases(self, depth: float) -> Tensor:
        """Soft folds: those that run in from the corners, where the loops pull, and some that go anywhere."""
        total = torch.zeros_like(self.x)
        for side in (-1.0, 1.0):
            for corner in (0.05, 0.95):
                dx, dy = self.x - side, (self.y - corner) * 1.35
                far, at = (dx.square() + dy.square()).sqrt(), torch.atan2(dy, -side * dx)
                turns = torch.cos(at * self.uniform(7, 15) + self.uniform(0, 6.28))
                total = total + turns * torch.exp(-far / 0.45) * self.uniform(0.5, 1.3)
        for _ in range(4):
            bent = self.wave(self.uniform(2, 6), self.uniform(0, 3.14)) * self.wave(
                self.uniform(1, 3), self.uniform(0, 3.14)
            )
            total = total + 0.5 * bent
        return depth * total

    def wave(self, count: Tensor | float, angle: Tensor | float) -> Tensor:
        angle = torch.as_tensor(angle)
        along = self.x * torch.cos(angle) + (self.y - 0.5) * 1.35 * torch.sin(angle)
        return torch.cos(math.pi * count * along + self.uniform(0, 6.28))

    @staticmethod
    def composed(relief: Tensor, second: Tensor | None = None, third: Tensor | None = None) -> Tensor:
        none = torch.zeros_like(relief)
        second = none if second is None else second.clamp(0, 1)
        third = none if third is None else torch.minimum(third.clamp(0, 1), 1 - second)
        return torch.stack([1 - second - third, second, third]) * relief


def _line(away: Tensor, width: float) -> Tensor:
    """A soft line of that half-width where ``away`` is 0; never finer than the texels can hold."""
    return torch.exp(-(away / max(width, 0.55 / HEIGHT)).square())
