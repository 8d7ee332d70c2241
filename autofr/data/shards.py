"""Faces in WebDataset shards: tar files that are read from one end to the other, from a disk or a URL, for sets that
fit no memory. ``autofr pack`` makes them (:mod:`autofr.data.pack`).

A set is a folder (or a URL) with ``shards.json``, which says what is there, and the shards it names. A sample is two
files of a tar: ``000000012.jpg``, an image as it was found, and ``000000012.json``::

    {"name": "alice/3.jpg", "label": 5, "landmarks": "AAD8QQAA..."}

Landmarks, (K, 2) float32 in base64, are in pixels of the stored image; ``null`` where there are none. Identities to
score on have shards of their own.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from urllib.request import HTTPBasicAuthHandler, HTTPPasswordMgrWithDefaultRealm, build_opener
from zlib import adler32

import numpy as np
import numpy.typing as npt

from autofr.exceptions import AutofrError
from autofr.io.files import parse_json, write_json
from autofr.io.image_source import MAX_BYTES, open_regular

INDEX = "shards.json"
VERSION = 1
MAX_INDEX, MAX_SAMPLES = 2**28, 10**7
"""Bytes of an index, and samples of a shard, at most: it may be a stranger's."""
MAX_FILE, MAX_PARTS, _BLOCK = MAX_BYTES, 16, 512
_AHEAD = 2**20
"""Bytes that are read at a time."""
_URL = re.compile(r"(https?|sftp|ftps|gs|hf)://\S+")
"""What is opened without a shell. A run directory names its data, and may be a stranger's."""
_NO_ANSWER = 60.0
"""Seconds without a byte after which an HTTP server is given up."""
RETRIES = (0.0, 2.0, 10.0, 30.0)
"""Seconds before each try to read a shard from a URL."""
_NAME = re.compile(r"(train|validation)-\d{5,8}\.tar")


@dataclass(frozen=True)
class Shards:
    """A set in shards, of which only the index was read.

    Attributes:
        source: folder or URL, without ``/shards.json``.
        identities: how many there are to train on; labels run from 0.
        held_back: how many there are to score on.
        train, validation: name and number of samples of each shard.
        scheme: what the landmarks are; ``None``: there are none.
        points: how many landmarks a face has.
        digest: a hash of the index.
    """

    source: str
    identities: int
    held_back: int
    train: list[tuple[str, int]]
    validation: list[tuple[str, int]]
    scheme: str | None
    points: int
    digest: str

    def __len__(self) -> int:
        return sum(count for _, count in self.train)

    def fingerprint(self) -> str:
        """As :meth:`Faces.fingerprint`: of the index."""
        return self.digest

    def url(self, name: str) -> str:
        """Where the shard of that name is."""
        return f"{self.source}/{name}"


class Sample(NamedTuple):
    """One face of a shard, not yet decoded: its ``image``'s bytes, its ``name``, ``label`` and ``landmarks``, the
    bytes of (K, 2) float32. ``None`` for ``image``: it is missing, and ``name`` says why.
    A :class:`autofr.io.image_source.StoredImage`."""

    image: bytes | None
    name: str
    label: int = 0
    landmarks: bytes | None = None

    def read(self) -> bytes:
        """See :class:`autofr.io.image_source.StoredImage`."""
        if self.image is None:
            raise OSError(self.name)
        return self.image


def is_shards(data: str | Path) -> bool:
    """Whether ``data`` names a set in shards: its index, its folder, or a URL."""
    text = str(data)
    return "://" in text or Path(text).name == INDEX or (Path(text) / INDEX).is_file()


def open_shards(data: str | Path) -> Shards:
    """Read the index of a set in shards.

    Args:
        data: its folder or URL, with ``/shards.json`` or without.

    Raises:
        AutofrError: it cannot be reached, or is no index; or webdataset is not installed.
    """
    source = str(data).rstrip("/")
    source = str(Path(source).parent) if source == INDEX else source.removesuffix(f"/{INDEX}")
    from autofr.masks import landmark_scheme  # imports torch, which the process that reads shards does without

    where = f"{source}/{INDEX}"
    try:
        with _open(where) as file:
            raw = file.read(MAX_INDEX)
    except (OSError, HTTPException) as error:
        raise AutofrError(f"{where} cannot be read: {error}; 'autofr pack' makes sets in shards") from error
    try:
        found = parse_json(raw)
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise ValueError(f"it is no index of version {VERSION}")
        counts = [found["identities"], found["held_back"]]
        points = 0 if found["scheme"] is None else landmark_scheme(found["scheme"]).count
        train, validation = (_listed(found[part], part) for part in ("train", "validation"))
        for count, listed in zip(counts, (train, validation), strict=True):
            if not (type(count) is int and 2 <= count <= sum(samples for _, samples in listed)):
                raise ValueError(f"it claims {counts[0]} and {counts[1]} identities")
    except (ValueError, KeyError, TypeError, AutofrError) as error:
        raise AutofrError(f"{where} is no index of shards: {error}; 'autofr pack' makes one") from error
    lacking = [name for name, _ in (*train, *validation) if "://" not in source and not Path(source, name).exists()]
    if lacking:
        raise AutofrError(f"{source} lacks {lacking[0]}, which {INDEX} names; bring it back, or pack the set again")
    identities, held_back = counts
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return Shards(source, identities, held_back, train, validation, found["scheme"], points, digest)


def _listed(rows: Any, part: str) -> list[tuple[str, int]]:
    found = [(name, count) for name, count in rows]
    for name, count in found:
        if not (isinstance(name, str) and _NAME.fullmatch(name) and name.startswith(part)):
            raise ValueError(f"{name!r} is no name of a shard")
        if not (type(count) is int and 0 < count <= MAX_SAMPLES):
            raise ValueError(f"{name} has {count!r} samples")
    if not found:
        raise ValueError(f"it has no {part} shards")
    return found


def _open(url: str) -> Any:
    """A shard or an index, to be read from its beginning. A path is opened as it is, http and https by the
    standard library, anything else by webdataset.

    Raises:
        OSError: it cannot be opened.
        AutofrError: it is no URL that may be opened, or webdataset is not installed.
    """
    if "://" not in url:
        return os.fdopen(open_regular(url), "rb", _AHEAD)
    if _URL.fullmatch(url) is None or not _is_url(url):
        raise AutofrError(f"{url} is no URL of shards; take http, https, sftp, ftps, gs or hf")
    if url.startswith(("http://", "https://")):
        try:
            return _opened_by_http(url)
        except HTTPException as error:  # no OSError, unlike an address that is not there or a status of 404
            raise OSError(f"the server's answer is broken: {error!r}") from error
    try:
        from webdataset.gopen import gopen
    except ImportError as error:
        raise AutofrError(f"{url}: pip install 'autofr[webdataset]' reads such URLs") from error
    try:
        return gopen(url)
    except OSError:
        raise
    except Exception as error:  # of whatever the scheme's own library raises
        raise OSError(f"{type(error).__name__}: {error}") from error


def _is_url(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:  # an address in brackets that is none, a port that is no number
        return False


def _opened_by_http(url: str) -> Any:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    path, query = (quote(text, safe="/%:;=&?+,@!$'()*~") for text in (parts.path, parts.query))
    plain = urlunsplit((parts.scheme, host, path, query, ""))
    passwords = HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:  # only its own host hears of it, and only if it asks
        passwords.add_password(
            None, f"{parts.scheme}://{host}/", unquote(parts.username), unquote(parts.password or "")
        )
    return build_opener(HTTPBasicAuthHandler(passwords)).open(plain, timeout=_NO_ANSWER)


def read_shard(shards: Shards, name: str, count: int) -> Iterator[Sample]:
    """The samples of a shard, in order: as many as the index says. What is missing or broken comes as a sample without
    image: so the place of every other one is the same each time.

    Args:
        shards: the set.
        name, count: of the shard.

    Raises:
        AutofrError: a sample has no landmarks where the set has them.
    """
    url, done = shards.url(name), 0
    problem = "it holds fewer samples than the index says"
    for pause in RETRIES if "://" in url else (0.0,):
        try:
            time.sleep(pause)
            with _open(url) as file:
                for key, parts in itertools.islice(_grouped(_members(file)), done, count):
                    yield _sample(url, key, parts, shards.points)
                    done += 1
            break
        except (OSError, HTTPException) as error:  # a connection that broke: the rest may come in another try
            problem = str(error)
    for place in range(done, count):
        yield Sample(None, f"{url}, sample {place}: {problem}")


def _grouped(members: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Files that stand together and share a name, by what follows its first dot."""
    held, parts = "", dict[str, bytes]()
    for path, content in members:
        dot = path.find(".", path.rfind("/") + 1) % (len(path) + 1)  # its end, where there is none
        key, suffix = path[:dot], path[dot + 1 :]
        if key != held and parts:
            yield held, parts
            parts = {}
        held, parts[suffix] = key, content
        if len(parts) > MAX_PARTS:
            raise OSError(f"{key} in it has over {MAX_PARTS} files")
    if parts:
        yield held, parts


def _members(file: Any) -> Iterator[tuple[str, bytes]]:
    """Name and content of each regular file of a tar, which is read once from its beginning. (Python's tarfile takes as
    long for a header as the decoder for the image: ``experiments/speed/loading.py``.)

    Raises:
        OSError: it is cut short, or damaged.
    """
    while header := file.read(_BLOCK):
        if not header.strip(b"\0"):
            return
        try:
            size, stated = int(header[124:136].strip(b" \0"), 8), int(header[148:156].strip(b" \0"), 8)
        except ValueError:
            raise OSError("a header in it is damaged") from None
        # A tar's checksum is the sum of the header's bytes, its own eight taken for blanks; adler32's lower half is one
        # more than that sum, modulo 65,521, and takes a tenth of the time.
        total = stated + sum(header[148:156]) - 8 * ord(" ") + 1
        if len(header) < _BLOCK or (adler32(header) & 0xFFFF) != total % 65521:
            raise OSError("a header in it is damaged")
        if not 0 <= size <= MAX_FILE:
            raise OSError(f"a file in it claims {size} bytes")
        content = file.read(-(-size // _BLOCK) * _BLOCK)[:size]
        if len(content) < size:
            raise OSError("it is cut short")
        if header[156:157] in (b"0", b"\0"):
            yield header[:100].rstrip(b"\0").decode("utf-8", "replace"), content
    raise OSError("it is cut short")


def _sample(url: str, key: str, parts: dict[str, bytes], points: int) -> Sample:
    """What the files of a sample say, with landmarks of so many ``points``."""
    where = f"{url}, {key}"
    try:
        said = json.loads(str(parts.pop("json"), "utf-8"))
        if not parts:
            raise ValueError("it has no image")
        (image,) = parts.values()
        name, label = said["name"], said["label"]
        if not (isinstance(name, str) and type(label) is int and label >= 0):
            raise ValueError("its name or label is none")
        if not points:
            return Sample(image, name, label)
        if "landmarks" not in said:
            raise AutofrError(f"{where} has no landmarks, and {INDEX} says that the set has; pack it again")
        if said["landmarks"] is None:
            return Sample(image, name, label)
        found = base64.b64decode(said["landmarks"], validate=True)
        if len(found) != 8 * points:
            raise ValueError(f"its landmarks have {len(found)} bytes, not {8 * points}")
        return Sample(image, name, label, found)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        told = "it has no" if isinstance(error, KeyError) else "it is no sample:"
        return Sample(None, f"{where}: {told} {error}")


def landmarks_text(landmarks: npt.NDArray[np.float32]) -> str:
    """(K, 2) landmarks as a sample's JSON has them."""
    return base64.b64encode(landmarks.astype("<f4").tobytes()).decode()


def write_index(folder: Path, about: dict[str, Any]) -> None:
    """Write ``shards.json``, last: a set with it is whole."""
    write_json(folder / INDEX, {"version": VERSION, **about})
