"""What names things, on a command line or in a file: spaces, losses, policies, backbones."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from tests.fuzzing import breaking
from tests.fuzzing.target import Parse, Target, as_json, written


def space() -> Target:
    """What ``autofr spaces`` reads of a space file: it is not executed."""
    from autofr.space.load import _first_line

    whole = (
        b'"""Margins.\n\nMore."""\nfrom autofr import Choice\nspace = 1\nimport os; os.system("touch /tmp/executed")\n'
    )
    deep = st.builds(
        lambda n, b: b * n, st.integers(1, 3000), st.sampled_from([b"(", b"[", b"-", b"not ", b"{", b"f'{"])
    )
    return Target("space docstring", whole, breaking.broken_bytes([whole]) | deep, written("mine.py", _first_line))


def specs() -> Target:
    """Losses, policies and backbones as the command line, or a run's configuration, names them."""
    from autofr.backbones import without_numbers
    from autofr.losses import create_loss
    from autofr.masks import landmark_scheme
    from autofr.policies import create_policy
    from autofr.space.load import load_space

    space = load_space("arcface_margins")

    def prepare(folder: Path) -> Parse:
        del folder
        from autofr.exceptions import AutofrError

        def backbone(text: str) -> None:
            without_numbers(text, 32, 16)

        def run(text: str) -> None:
            for parse in (create_loss, lambda t: create_policy(t, space, 0), backbone, landmark_scheme):
                try:
                    parse(text)
                except AutofrError as error:
                    if parse is landmark_scheme:
                        raise
                    del error

        return run

    piece = st.sampled_from(
        [
            "arcface",
            "ArcFace",
            "iresnet",
            "mobilefacenet",
            "depth",
            "widths",
            "1-2-1",
            "2",
            "lfs",
            "optuna",
            "combined",
            ":",
            "(",
            ")",
            "=",
            ",",
            "m",
            "s",
            "lr",
            "0.3",
            "1e999",
            "-1",
            "None",
        ]
        + [
            "__import__('os')",
            "9" * 400,
            "[1]",
            "5:",
            "68:0,1",
            "points5",
            " ",
            "{}",
            "True",
            "TPESampler",
            "seed",
            "\n",
        ]
    )
    return Target(
        "names with settings", "points5", st.lists(piece, max_size=8).map("".join) | st.text(max_size=20), prepare
    )


def search_space() -> Target:
    from autofr.integrations.nni_space import read_search_space

    whole = {"loss": {"_type": "choice", "_value": ["arcface:0.3", "ArcFace(m=0.5)", 3, {"_name": "x"}]}}
    return Target(
        "NNI search space", as_json({"a": {"_type": "choice", "_value": [1, 2]}}), breaking.encoded(as_json, whole),
        written("space.json", read_search_space),
    )  # fmt: skip
