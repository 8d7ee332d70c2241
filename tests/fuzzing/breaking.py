"""Strategies that break things: bytes, JSON, and forms with checksums that a random change would not pass."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from autofr.io.image_source import MAGIC

EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 127, 128, 255, 256, 32767, 65535, 2**24, 2**29 - 1, 2**31 - 1, 2**32 - 1)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([*EDGES, *(-e for e in EDGES), 2**63, 10**30]),
    st.sampled_from([0.5, -1.5, 1e308, 5e-324, -0.0]),
    st.sampled_from(["", "x", "../../x", "gen-0001.safetensors", "\x00", "é" * 40, "0" * 64, "ir_mini", "F32", "nan"]),
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_DEEP = st.integers(50, 400).map(lambda depth: _nested(depth))
VALUES = VALUES | VALUES | VALUES | _DEEP
_EDIT = st.tuples(st.integers(0, 5), st.integers(0, 2**20), st.binary(min_size=1, max_size=8))
_EDITS = st.lists(_EDIT, min_size=1, max_size=6)


def _nested(depth: int) -> Any:
    value: Any = 0
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def broken_bytes(wholes: list[bytes]) -> st.SearchStrategy[bytes]:
    """One of ``wholes`` with some bytes changed, cut out, put in, repeated or at the end lost; now and then, noise."""
    changed = st.builds(_edited, st.sampled_from(wholes), _EDITS)
    return st.one_of(changed, changed, changed, changed, st.binary(max_size=200))


def _edited(whole: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    content = bytearray(whole)
    for kind, where, data in edits:
        place = where % (len(content) + 1)
        if kind == 0:
            content[place : place + len(data)] = data
        elif kind == 1:
            content[place:place] = data
        elif kind == 2:
            del content[place : place + data[0]]
        elif kind == 3:
            content[place:] = b""
        elif kind == 4 and place < len(content):
            content[place] ^= 1 << data[0] % 8
        else:
            edge = EDGES[data[0] % len(EDGES)]
            content[place : place + 4] = edge.to_bytes(4, "little" if data[0] % 2 else "big")
    return bytes(content)


def broken_json(whole: Any) -> st.SearchStrategy[Any]:
    """``whole`` with some values, anywhere within, replaced or taken away."""
    edit = st.tuples(st.integers(0, 2**20), st.booleans(), VALUES)
    return st.builds(_replaced, st.just(json.dumps(whole)), st.lists(edit, min_size=1, max_size=3))


def _replaced(text: str, edits: list[tuple[int, bool, Any]]) -> Any:
    value = json.loads(text)
    for where, drop, new in edits:
        places: list[tuple[Any, Any]] = []
        _walk(value, places)
        if not places:
            return new
        holder, key = places[where % len(places)]
        if drop:
            del holder[key]
        else:
            holder[key] = new
    return value


def _walk(value: Any, places: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        places.append((value, key))
        _walk(inner, places)


def json_lines(whole: Any, more: int) -> st.SearchStrategy[bytes]:
    """A journal: ``more`` lines like ``whole``, then broken ones, half of them with a checksum that fits."""

    def line(value: Any, fits: bool) -> bytes:
        if isinstance(value, dict):
            value.pop("crc32", None)
            if fits:
                value["crc32"] = zlib.crc32(json.dumps(value).encode())
        return json.dumps(value).encode() + b"\n"

    good = [line({**whole, "generation": g, "checkpoint": f"gen-{g:04d}.safetensors"}, True) for g in range(more)]
    last = {**whole, "generation": more}
    return st.one_of(
        st.builds(lambda value, fits: b"".join(good) + line(value, fits), broken_json(last), st.booleans()),
        st.builds(lambda changed: changed, broken_bytes([b"".join(good)])),
    )


def safetensors(whole: bytes) -> st.SearchStrategy[bytes]:
    """A safetensors file whose header, JSON behind its length, was changed; or whose bytes were."""
    (length,) = struct.unpack("<Q", whole[:8])
    header, rest = json.loads(whole[8 : 8 + length]), whole[8 + length :]

    def written(value: Any, cut: int) -> bytes:
        text = json.dumps(value).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + rest[: len(rest) - cut]

    return st.one_of(st.builds(written, broken_json(header), st.sampled_from([0, 0, 0, 1, 64])), broken_bytes([whole]))


def npz(arrays: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """An archive whose checksums fit, of arrays whose bytes or headers were changed; or one with any bytes changed."""
    members = {}
    for name, array in arrays.items():
        out = io.BytesIO()
        np.save(out, array)
        members[name] = out.getvalue()

    def zipped(which: int, changed: bytes, drop: bool, twice: bool) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for place, (name, content) in enumerate(members.items()):
                hit = place == which % len(members)
                if not (hit and drop):
                    archive.writestr(f"{name}.npy", changed if hit else content)
                if hit and twice:
                    archive.writestr(f"x{name}.npy", content)
        return out.getvalue()

    def with_header(which: int, header: Any) -> bytes:
        text = repr(header).encode("latin1", "replace").ljust(117) + b"\n"
        content = list(members.values())[which % len(members)]
        return zipped(which, content[:8] + struct.pack("<H", len(text)) + text + content[128:], False, False)

    shape = st.lists(st.sampled_from([0, 1, 2, 3, 68, 2**31, 2**62, -1]), max_size=4).map(tuple)
    kind = st.sampled_from(["<f4", "<f8", "<U20", "|O", "|S4", "<i8", "|b1", ">f2", "<c8", "V8", "x", [("a", "<f4")]])
    headers = st.fixed_dictionaries({"descr": kind, "fortran_order": st.booleans(), "shape": shape}) | VALUES
    whole = zipped(0, next(iter(members.values())), False, False)
    which = st.integers(0, 9)
    return st.one_of(
        st.builds(zipped, which, broken_bytes(list(members.values())), st.booleans(), st.booleans()),
        st.builds(with_header, which, headers),
        broken_bytes([whole]),
    )


def pickled(whole: Any) -> st.SearchStrategy[bytes]:
    """A pickle into which other operations were put, or of which some were taken; or with any bytes changed."""
    wholes = [pickle.dumps(whole, protocol) for protocol in range(2, 6)]
    edit = st.tuples(
        st.integers(0, 2**20), st.booleans(), st.integers(0, len(pickletools.opcodes) - 1), st.binary(max_size=9)
    )
    names = st.sampled_from(
        [
            b"cos\nsystem\n",
            b"cbuiltins\neval\n",
            b"cnumpy\ndtype\n",
            b"c_codecs\nencode\n",
            b"\x8c\x02os\x8c\x06system\x93",
        ]
    )

    def put_in(content: bytes, edits: list[tuple[int, bool, int, bytes]], name: bytes, call: bool) -> bytes:
        starts = [place for _, _, place in pickletools.genops(content) if place is not None]
        for where, drop, code, data in edits:
            place = starts[where % len(starts)] % (len(content) + 1)
            operation = pickletools.opcodes[code].code.encode("latin1") + data
            content = content[:place] + (b"" if drop else operation) + content[place + drop :]
        called = name + b"(\x8c\x02id\x85R" if call else b""
        return content[:-1] + called + b"."

    return st.one_of(
        st.builds(put_in, st.sampled_from(wholes), st.lists(edit, min_size=1, max_size=3), names, st.booleans()),
        broken_bytes(wholes),
    )


def records(image: bytes) -> st.SearchStrategy[bytes]:
    """RecordIO files of records whose parts, lengths, labels and contents are as they please."""

    def record(part: int, stated: int | None, flag: int, label: float, labels: int, body: bytes, pad: bool) -> bytes:
        content = struct.pack("<IfQQ", flag, label, 1, 0) + struct.pack("<f", label) * labels + body
        length = (len(content) if stated is None else stated) & (2**29 - 1)
        return struct.pack("<II", MAGIC, part << 29 | length) + content + bytes(-len(content) % 4 if pad else 0)

    one = st.builds(
        record,
        st.sampled_from([0, 0, 0, 0, 1, 2, 3, 5]),
        st.one_of(st.none(), st.none(), st.none(), st.sampled_from(EDGES)),
        st.sampled_from([0, 0, 0, 1, 2, 2**31]),
        st.sampled_from([0.0, 1.0, 7.0, 0.5, -1.0, 1e9, float("nan"), float("inf")]),
        st.sampled_from([0, 0, 1, 2]),
        st.one_of(st.just(image), st.just(image), st.just(b""), st.binary(max_size=20)),
        st.sampled_from([True, True, True, False]),
    )
    files = st.lists(one, min_size=1, max_size=4).map(b"".join)
    return files | st.builds(_edited, files, _EDITS)


def chunks(whole: bytes) -> st.SearchStrategy[bytes]:
    """A PNG file some of whose chunks were changed, and have a checksum that fits."""
    found, place = [], 8
    while place < len(whole):
        (length,) = struct.unpack(">I", whole[place : place + 4])
        found.append((whole[place + 4 : place + 8], whole[place + 8 : place + 8 + length]))
        place += 12 + length
    kinds = st.sampled_from(
        [kind for kind, _ in found] + [b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"tRNS", b"acTL", b"fdAT"]
    )

    def written(edits: list[tuple[int, bool, bytes, bytes]]) -> bytes:
        parts = list(found)
        for where, new, kind, content in edits:
            at = where % len(parts)
            if new:
                parts.insert(at, (kind, content))
            else:
                old = parts[at][1]
                parts[at] = parts[at][0], _edited(old, [(0, where, content or b"\x00")])
        return whole[:8] + b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in parts
        )

    edit = st.tuples(st.integers(0, 2**20), st.booleans(), kinds, st.binary(max_size=30))
    return st.builds(written, st.lists(edit, min_size=1, max_size=3))


def encoded(make: Callable[[Any], bytes], whole: Any) -> st.SearchStrategy[bytes]:
    """What ``make`` writes of a broken ``whole``, or writes of it and is broken then."""
    return broken_json(whole).map(make) | broken_bytes([make(whole)])
