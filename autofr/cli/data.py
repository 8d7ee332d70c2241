"""``autofr pack``."""

from __future__ import annotations

import argparse
from typing import Any

from autofr.cli.common import add_landmarks, command, given


def add_commands(commands: Any) -> None:
    """Add this file's command."""
    p = command(
        commands,
        "pack",
        "Write faces and their landmarks as WebDataset shards, for sets that fit no memory.",
        """examples:
  autofr pack faces/ shards/                         then: autofr search --data shards/ ...
  autofr pack train.rec shards/ --landmarks train_landmarks.npz --shard-size 20000
  autofr search --data https://example.org/shards ...

Images go as they are stored; identities to score on go into shards of their own. Needs pip install
'autofr[webdataset]'.""",
    )
    p.set_defaults(run=_pack)
    p.add_argument("data", metavar="DATA", help="folder with one sub-folder an identity, or a .rec file")
    p.add_argument("out", metavar="OUT", help="folder to write; an older set in shards there is replaced")
    add_landmarks(p)
    p.add_argument("--shard-size", type=int, default=10_000, metavar="N", help="images a shard (default: 10000)")
    p.add_argument(
        "--validation-identities", type=int, metavar="N", help="identities to hold back (default: a tenth, 2 to 200)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="decides which, and the order (default: 0)")


def _pack(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_packed
    from autofr.data.pack import pack

    print_packed(pack(**given(arguments)))
