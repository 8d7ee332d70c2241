"""RandomFaceMask: masks painted onto a batch of faces from their landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from autofr.compute.device import to_device
from autofr.masks.fabric import load_fabrics
from autofr.masks.geometry import AWAY, Frame, Outline, place
from autofr.masks.loops import draw
from autofr.masks.paint import Box, Plan, blend, extents, plan
from autofr.masks.parameters import COVERAGE, GRAINS, MATERIAL, FaceMaskGenerator, shares
from autofr.masks.schemes import COUNT, landmark_scheme, middling_face, scheme_of

_SLACK = 0.01  # a resized or compressed image may stray that far from [0, 1]
_PORTION = 16  # faces painted at a time on the CPU: what they need stays in its cache


class RandomFaceMask(IntensityAugmentationBase2D):  # type: ignore[misc]
    """Paints a face mask onto each drawn face: M = G(I, L; θ) of MAN (section 3.1), inside the batch.

    The outline hangs on 10 contour points and the nose line, follows the head's turn, and stays below the eyes; the
    cloth (surgical, plain, patterned, a cup, or your own textures) takes the face's own light, focus and noise.
    Parameters differ from sample to sample, are drawn for the whole batch at once, and are replayed by
    ``mask(images, params=mask._params)``. Differentiable in the image. Faces without landmarks, and faces turned so
    far that landmarks mislead, are never masked; :func:`autofr.masks.placement` says which.

    Args:
        p: probability that a face is masked (MAN: 0.2).
        coverage: shares of ``full`` (nose and mouth), ``half`` (below the nose) and ``chin`` (below the mouth), such as
            ``{"full": 3, "half": 1}``; or one of the names.
        material: one, or shares, of ``surgical``, ``plain``, ``striped``, ``checked``, ``dotted``, ``floral``,
            ``cup`` and ``user``.
        textures: a folder of images to wear as cloth (``material`` ``user``); without ``material`` they get half.
        tilt: largest obliqueness: contour points (of 10, ear to ear) by which one corner rises and the other falls.
        jitter: largest shift of a contour point, as a share of the distance from nasion to chin.
        scheme: what the landmarks are (:func:`autofr.masks.landmark_scheme`); ``None``: known by their number.
        same_on_batch: the same parameters for every sample.
        keepdim: keep (C, H, W) inputs three-dimensional.

    Raises:
        ValueError: shares or ranges that make no sense.
        AutofrError: an unknown scheme; textures that cannot be read.

    Example:
        >>> mask = RandomFaceMask(p=0.2)
        >>> masked = mask(images, landmarks)  # (B, 3, H, W) in [0, 1]; (B, 68, 2) pixels
    """

    def __init__(
        self,
        p: float = 0.2,
        coverage: Mapping[str, float] | str | None = None,
        material: Mapping[str, float] | str | None = None,
        textures: str | Path | None = None,
        tilt: float = 0.35,
        jitter: float = 0.02,
        scheme: str | None = None,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p is a probability, from 0 to 1, got {p}")
        super().__init__(p=p, same_on_batch=same_on_batch, p_batch=1.0, keepdim=keepdim)
        if not 0 <= tilt <= 1 or not 0 <= jitter <= 0.1:
            raise ValueError(f"tilt lies from 0 to 1 and jitter from 0 to 0.1, got {tilt} and {jitter}")
        if material is None and textures is not None:
            material = {**{k: v / 2 for k, v in MATERIAL.items()}, "user": 0.5}
        kinds = shares(material, MATERIAL, "material")
        if kinds["user"] > 0 and textures is None:
            raise ValueError("material 'user' needs a folder of textures")
        if kinds["user"] == 0 and textures is not None:
            raise ValueError("textures are worn as material 'user', and its share is 0")
        self.scheme = None if scheme is None else landmark_scheme(scheme)
        fabrics = load_fabrics(textures)
        self._param_generator = FaceMaskGenerator(shares(coverage, COVERAGE, "coverage"), kinds, tilt, jitter, fabrics)
        self.register_buffer("textures", fabrics.textures.transpose(0, 1).contiguous(), persistent=False)
        noise = torch.randn(GRAINS, 128, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
        self.register_buffer("noise", noise, persistent=False)

    def forward(
        self,
        input: Tensor,
        landmarks: Tensor | None = None,
        params: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Mask a batch.

        Args:
            input: (B, 3, H, W) or (3, H, W), floating point in [0, 1], give or take 0.01. The range is checked on the
                CPU; elsewhere the check would wait for the device, and what lies outside it is kept as it is.
            landmarks: (B, N, 2) or (N, 2) pixels of the input, N points of the scheme. May be left out when
                ``params`` are replayed, which hold the anchors.
            params: the ``_params`` of an earlier call.

        Returns:
            Images of the input's dtype. Rows that were not drawn keep their exact values.

        Raises:
            ValueError: no landmarks, another number of them than images, images that do not have 3 channels, or values
                outside [0, 1].
            AutofrError: no scheme has that number of points.
        """
        if not isinstance(input, Tensor):
            raise ValueError(f"RandomFaceMask takes a tensor of images, got {type(input).__name__}")
        if input.dim() not in (3, 4) or input.shape[-3] != 3 or not input.is_floating_point():
            raise ValueError(
                f"RandomFaceMask takes floating-point images (B, 3, H, W) or (3, H, W) in [0, 1], "
                f"got {input.dtype} {tuple(input.shape)}"
            )
        if input.device.type == "cpu" and input.numel():  # elsewhere it would wait for the device
            low, high = (float(x) for x in input.detach().aminmax())
            if low < -_SLACK or high > 1 + _SLACK:
                raise ValueError(f"RandomFaceMask takes images in [0, 1]; these run from {low:g} to {high:g}")
        faces = input.shape[0] if input.dim() == 4 else 1
        if params is None:
            if landmarks is None:
                raise ValueError("RandomFaceMask needs landmarks: mask(images, landmarks)")
            landmarks = torch.as_tensor(landmarks)
            landmarks = landmarks[None] if landmarks.dim() == 2 else landmarks
            if landmarks.dim() != 3 or len(landmarks) != faces or landmarks.shape[2] != 2:
                raise ValueError(f"{faces} images need landmarks ({faces}, N, 2), got {tuple(landmarks.shape)}")
            scheme = self.scheme or scheme_of(landmarks.shape[1])
            params = self.forward_parameters(torch.Size([faces, *input.shape[-3:]]))
            params["anchors"] = scheme.anchors(landmarks.to(input.device))
        elif "anchors" not in params:
            raise ValueError(
                "RandomFaceMask needs landmarks: mask(images, landmarks); Kornia's AugmentationSequential hands it "
                "none, so call it before the container"
            )
        elif params["anchors"].shape != (faces, COUNT, 2):
            raise ValueError(f"parameters of {len(params['anchors'])} faces are replayed on {faces} images")
        # Under autocast products of coordinates would be taken in half precision: a mask would miss the face.
        with torch.autocast(input.device.type, enabled=False):
            return cast(Tensor, super().forward(input, params=params, **kwargs))

    def apply_transform(
        self,
        input: Tensor,
        params: dict[str, Tensor],
        flags: dict[str, Any],
        transform: Tensor | None = None,
    ) -> Tensor:
        input = input.contiguous()
        height, width = input.shape[-2:]
        drawn = params["batch_prob"].expand(len(input)) > 0.5
        params = {name: value for name, value in params.items() if name not in ("batch_prob", "forward_input_shape")}
        anchors = params.pop("anchors").to(input.device)
        frame = Frame.of(anchors)
        fit = place(anchors, frame, width, height) > AWAY
        if input.device.type != "cpu":
            return self._masked_elsewhere(input, anchors, fit, drawn, params)
        drawn = drawn & fit
        rows = drawn.nonzero().squeeze(1).to(input.device)
        if not len(rows):
            return input.clone()
        params = {name: value.to(input.device)[rows] for name, value in params.items()}
        anchors, outline = anchors[rows], Outline(frame.rows(rows), params)
        faces = input if len(rows) == len(input) else input[rows]
        boxes = extents(outline, height, width)
        order = _by_place(boxes)
        around = Box.around(boxes, height, width)
        planned = plan(faces, anchors, outline, params, self.textures.shape[1], around).rows(order)
        output = torch.empty_like(input) if len(rows) == len(input) else input.clone()
        for start in range(0, len(order), _PORTION):
            portion = order[start : start + _PORTION]
            part, box = planned.rows(slice(start, start + _PORTION)), Box.around(boxes[portion], height, width)
            output[rows[portion]] = self._painted(faces[portion], part, box)
        return output

    def _masked_elsewhere(
        self, input: Tensor, anchors: Tensor, fit: Tensor, drawn: Tensor, params: dict[str, Tensor]
    ) -> Tensor:
        """The same without reading anything back from the device: which faces fit is known there alone."""
        height, width = input.shape[-2:]
        if drawn.device.type != "cpu":  # nor which were drawn: all are painted
            fit, drawn = fit & drawn, torch.ones(len(input), dtype=torch.bool)
        rows = to_device(drawn.nonzero().squeeze(1), input.device)
        if not len(rows):
            return input.clone()
        # Where nothing fits, a face that does stands in: what is painted there is not kept, but must be numbers.
        spare = middling_face(width, height, input.device)
        anchors, fit = torch.where(fit[:, None, None], anchors, spare)[rows], fit[rows]
        params = {name: value.to(input.device)[rows] for name, value in params.items()}
        faces, box = input[rows], Box(0, height, 0, width, height, width)
        planned = plan(faces, anchors, Outline(Frame.of(anchors), params), params, self.textures.shape[1], box)
        painted = self._painted(faces.clone(), planned, box)
        return input.index_copy(0, rows, torch.where(fit[:, None, None, None], painted, faces))

    def _painted(self, faces: Tensor, planned: Plan, box: Box) -> Tensor:
        """``faces``, which are written to, with what was planned."""
        faces = draw(faces, planned.loops, planned.cord)
        shown = box.of(faces)
        # What autograd keeps for the way back must not be written over.
        kept = shown.clone() if shown.requires_grad else shown
        # The module may not have been moved, or been made half precision with a network that holds it.
        textures, noise = (part.to(faces.device, torch.float32) for part in (self.textures, self.noise))
        shown.copy_(blend(kept, planned, textures, noise, box))
        return faces


def _by_place(boxes: Tensor) -> Tensor:
    """An order in which neighbours' boxes are alike, so that portions fill theirs: by side, then by height."""
    across, down = boxes[:, 2:].sum(1), boxes[:, :2].sum(1)
    bands = across.argsort().chunk(4)
    return torch.cat([band[down[band].argsort()] for band in bands])
