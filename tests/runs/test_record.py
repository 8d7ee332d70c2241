"""A journal's line: what is written is read, what is not as it should be is refused."""

import json
import zlib
from typing import Any

import pytest

from autofr.runs.record import Record

RECORD = Record(
    generation=3,
    epoch=1.5,
    assignments=[{"loss": 0}, {"loss": 0.25}],
    keys=["a", "a"],
    parents=[None, 1],
    losses=[1.25, None],
    scores=[{"sfr": 0.1, "mfr": 1 / 3}, {"sfr": None, "mfr": None}],
    rewards=[-0.1, None],
    winner=0,
    alpha={"loss": [0.1, 0.9]},
    policy={"rng": {"state": 2**127}, "name": "αβ"},
    lr_scale=1.0,
    seconds=1e-7,
    drawn=[{"loss": "ArcFace(m=0.1)"}, {"loss": "ArcFace(m=0.25)"}],
    troubles=[None, "diverged: its loss is nan"],
    finished=1.7e9,
    networks=["a", "a"],
    trained=6.0,
    checkpoint="gen-0003.safetensors",
    sha256="0" * 64,
)


def test_round_trip() -> None:
    line = RECORD.to_line()
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert Record.from_line(line) == RECORD


def test_every_flipped_bit_is_noticed() -> None:
    line = RECORD.to_line().rstrip(b"\n")
    for place in range(len(line)):
        for bit in range(8):
            flipped = bytearray(line)
            flipped[place] ^= 1 << bit
            try:
                found = Record.from_line(bytes(flipped))
            except ValueError:
                continue
            assert found == RECORD, f"byte {place}, bit {bit}"  # another way to write the same


def written(**changed: Any) -> bytes:
    """A line that says what it should not, with a checksum that fits."""
    values = {k: v for k, v in json.loads(RECORD.to_line()).items() if k != "crc32"} | changed
    values = {k: v for k, v in values.items() if v is not ...}
    return json.dumps(values | {"crc32": zlib.crc32(json.dumps(values).encode())}).encode()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"winner": 2}, "its winner is 2"),
        ({"winner": 1}, "its winner is 1"),  # it diverged
        ({"winner": -1}, "its winner is -1"),
        ({"winner": True}, "its winner is True"),
        ({"generation": "3"}, "its generation is 3"),
        ({"epoch": 1e308}, "its epoch is"),
        ({"keys": ["a"]}, "2 assignments, but 1 keys"),
        ({"troubles": ["x"]}, "2 assignments, but 1 troubles"),
        ({"rewards": [-0.1, "x"]}, "its rewards is"),
        ({"scores": [{"sfr": 0.1}, {"sfr": 0.1}]}, "its scores is"),
        ({"alpha": {"other": [1.0]}}, "other dimensions"),
        ({"checkpoint": "../../etc/passwd"}, "its checkpoint is"),
        ({"checkpoint": "gen-0003.safetensors\n"}, "its checkpoint is"),
        ({"sha256": "x"}, "its sha256 is x"),
        ({"policy": []}, "its policy is"),
        ({"policy": ...}, "it lacks policy"),
        ({"drawn": ...}, "it lacks drawn"),
        ({"costs": [1.0]}, "2 assignments, but 1 costs"),
        ({"more": 1}, "it has more"),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Record.from_line(written(**changed))


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a": NaN}', b"1" * 5000])
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Record.from_line(line)
