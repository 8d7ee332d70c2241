"""``autofr landmarks`` and ``autofr mask``."""

from __future__ import annotations

import argparse
from typing import Any

from autofr.cli.common import add_landmarks, command, given


def add_commands(commands: Any) -> None:
    """Add this file's commands."""
    _add_landmarks_command(commands)
    _add_mask(commands)


def _add_landmarks_command(commands: Any) -> None:
    p = command(
        commands,
        "landmarks",
        "Find the largest face of every photograph in a folder and write its landmarks; --align also cuts it out.",
        """examples:
  autofr landmarks photos/ -o faces_landmarks.npz --align faces/    then: autofr search --data faces/ ...
  autofr landmarks faces/ -o faces_landmarks.npz                    landmarks of faces that are cut out already

Stopped and started again, it goes on where it was. Detectors come with extras: pip install 'autofr[landmarks]'
(face-alignment), 'autofr[dlib]' (works without a network).""",
    )
    p.set_defaults(run=_landmarks)
    p.add_argument("folder", metavar="DIR", help="photographs, at any depth")
    p.add_argument("-o", "--output", metavar="NPZ", required=True, help="the file of landmarks to write")
    p.add_argument(
        "--align",
        metavar="OUT",
        help="folder for the faces, 112x112, by the ArcFace template; landmarks are then theirs",
    )
    _add_detector(p)
    p.add_argument("--device", default="auto", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")


def _add_detector(p: Any) -> None:
    p.add_argument(
        "--detector", metavar="NAME", help="face-alignment or dlib (default: the first of them that is installed)"
    )


def _add_mask(commands: Any) -> None:
    p = command(
        commands,
        "mask",
        "Draw a contact sheet: faces, each above its masked copy.",
        """examples:
  autofr mask faces/ -o sheet.png                      with faces_landmarks.npz beside it
  autofr mask photo.jpg -o sheet.png --material cup    the face is found, cut out and masked""",
    )
    p.set_defaults(run=_mask)
    p.add_argument("source", metavar="IMAGE_OR_DIR", help="an image, or a folder of them at any depth")
    p.add_argument("-o", "--output", metavar="PNG", required=True, help="the picture to write")
    add_landmarks(p)
    _add_detector(p)
    p.add_argument("--coverage", metavar="KIND", help="full, half or chin only (default: all, in usual shares)")
    p.add_argument(
        "--material",
        metavar="KIND",
        help="surgical, plain, striped, checked, dotted, floral, cup or user only (default: all, in usual shares)",
    )
    p.add_argument("--textures", metavar="DIR", help="images of cloth to wear as well")
    p.add_argument("--faces", type=int, default=24, metavar="N", help="most faces to show (default: 24)")
    p.add_argument("--columns", type=int, default=8, metavar="N", help="faces in a row (default: 8)")
    p.add_argument("--size", type=int, default=112, metavar="PX", help="side of a face (default: 112)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="decides the masks (default: 0)")


def _landmarks(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_landmarks
    from autofr.compute.device import pick_device
    from autofr.detection import find_landmarks

    print_landmarks(find_landmarks(**given(arguments) | {"device": str(pick_device(arguments.device))}))


def _mask(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_sheet
    from autofr.evaluation.mask_sheet import draw_sheet

    print_sheet(draw_sheet(**given(arguments)))
