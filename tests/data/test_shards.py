"""Shards: written by ``autofr pack``, read by webdataset, broken by hand."""

import base64
import http.server
import json
import os
import signal
import threading
import urllib.parse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autofr
from autofr import AutofrError
from autofr.cli import main
from autofr.compute.mesh import ALONE
from autofr.compute.seeding import derive_seed
from autofr.data import load_faces, scan, split_by_identity
from autofr.data.pack import pack
from autofr.data.samples import decode_samples, read_validation
from autofr.data.shards import is_shards, open_shards, read_shard
from autofr.data.sources import ShardsSource
from autofr.data.stream import ShardStream
from autofr.system.remote_object import Worker

SETTINGS: dict[str, Any] = {"validation_identities": 3, "shard_size": 5, "progress": False}


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    return pack(folder, tmp_path / "shards", **SETTINGS).folder


def test_every_face_is_in_one_shard_as_it_was(folder: Path, packed: Path) -> None:
    shards = open_shards(packed)
    assert is_shards(packed)
    assert is_shards(packed / "shards.json")
    assert not is_shards(folder)
    samples = [s for name, count in (*shards.train, *shards.validation) for s in read_shard(shards, name, count)]
    names = [sample.name for sample in samples]
    assert sorted(names) == sorted(scan(folder).names)
    assert all(sample.image == (folder / sample.name).read_bytes() for sample in samples)
    assert len(shards) == sum(count for _, count in shards.train) <= len(names)
    assert {count for _, count in shards.train} <= {4, 5}


def test_those_held_back_are_those_that_a_search_of_the_folder_holds_back(folder: Path, packed: Path) -> None:
    faces = load_faces(scan(folder), 32)
    training, validation = split_by_identity(faces, 3, 0)
    shards = open_shards(packed)
    found = read_validation(shards, 32)
    assert sorted(found.names) == sorted(validation.names)
    assert shards.identities == len(training.identities)
    place = {name: i for i, name in enumerate(validation.names)}
    order = torch.tensor([place[name] for name in found.names])
    assert torch.equal(found.read(torch.arange(len(found))), validation.read(order))
    assert found.landmarks is not None
    assert validation.landmarks is not None
    torch.testing.assert_close(found.landmarks, validation.landmarks[order], rtol=0, atol=2e-3)


def test_packing_again_writes_the_same_bytes(folder: Path, packed: Path, tmp_path: Path) -> None:
    other = pack(folder, tmp_path / "again", **SETTINGS).folder
    assert [(p.name, p.read_bytes()) for p in sorted(other.iterdir())] == [
        (p.name, p.read_bytes()) for p in sorted(packed.iterdir())
    ]


def test_a_stream_is_resumed_at_the_sample(packed: Path) -> None:
    shards = open_shards(packed)

    def names(stream: ShardStream, first: int, count: int) -> list[str]:
        return [sample.name for sample in stream.take(first, count)]

    whole = names(ShardStream(shards, 5, buffer=6), 0, 3 * len(shards))
    for first in (0, 1, 7, len(shards) - 1, len(shards), 2 * len(shards) + 3):
        assert names(ShardStream(shards, 5, buffer=6), first, 5) == whole[first : first + 5]
    one = ShardStream(shards, 5, buffer=6)
    assert names(one, 0, 10) + names(one, 10, 10) == whole[:20]  # reads on
    assert names(one, 4, 6) == whole[4:10]  # and back
    for epoch in range(3):
        assert sorted(whole[epoch * len(shards) : (epoch + 1) * len(shards)]) == sorted(set(whole))
    assert whole[: len(shards)] != whole[len(shards) : 2 * len(shards)]


def test_ranks_meet_shards_of_their_own(packed: Path) -> None:
    shards = open_shards(packed)
    streams = [ShardStream(shards, 0, part=part, parts=2) for part in range(2)]
    met = [{sample.name for sample in stream.take(0, stream.epoch)} for stream in streams]
    assert met[0].isdisjoint(met[1])
    assert len(met[0] | met[1]) == len(shards)
    with pytest.raises(AutofrError, match=r"99 data ranks cannot share out .* evenly: one would have 0 samples"):
        ShardStream(shards, 0, parts=99)


def test_an_epoch_begins_anew_and_may_be_shorter_or_longer_than_the_shards(packed: Path) -> None:
    """So the first batch of an epoch needs no reading up to it, and ranks with a little less meet some faces twice."""
    shards = open_shards(packed)
    for epoch in (len(shards) - 3, len(shards) + 4):
        whole = [sample.name for sample in ShardStream(shards, 1, epoch, buffer=5).take(0, 3 * epoch)]
        stream = ShardStream(shards, 1, epoch, buffer=5)
        stream.seek(2 * epoch)
        assert [sample.name for sample in stream.take(2 * epoch, epoch)] == whole[2 * epoch :]
        assert len(set(whole[:epoch])) == min(epoch, len(shards))


def test_a_broken_image_is_named_counted_and_skipped(folder: Path, packed: Path, logged: list[str]) -> None:
    shards = open_shards(packed)
    name, count = shards.train[0]
    before = [(s.name, s.image) for s in read_shard(shards, name, count)]
    raw = (packed / name).read_bytes()
    image = before[2][1]
    assert image is not None
    at = raw.index(image)
    (packed / name).write_bytes(raw[: at + 4] + bytes(len(image) - 4) + raw[at + len(image) :])
    source = ShardsSource(shards, 32, 8, 0)
    read = [source.read(step) for step in range(source.steps_per_epoch + 1)]
    assert logged[0].startswith("1 of ")
    assert before[2][0] in logged[0]
    assert logged[0].endswith(": skipped")
    assert all(len(part.labels) == len(part.pixels) == 8 for part in read)


def test_a_shard_that_is_cut_short_leaves_the_others_in_place(packed: Path) -> None:
    shards = open_shards(packed)
    whole = [sample.name for sample in ShardStream(shards, 0, buffer=5).take(0, len(shards))]
    name, count = shards.train[1]
    raw = (packed / name).read_bytes()
    (packed / name).write_bytes(raw[: len(raw) // 2])
    found = ShardStream(shards, 0, buffer=5).take(0, len(shards))
    lost = [sample for sample in found if sample.image is None]
    assert 0 < len(lost) < count
    assert all(name in sample.name for sample in lost)
    kept = [(a, b.name) for a, b in zip(whole, found, strict=True) if b.image is not None]
    assert all(a == b for a, b in kept)


def test_a_sample_without_landmarks_where_the_set_has_them(packed: Path) -> None:
    shards = open_shards(packed)
    name, count = shards.train[0]
    raw = (packed / name).read_bytes()
    (packed / name).write_bytes(raw.replace(b'"landmarks"', b'"landmerks"', 1))
    with pytest.raises(AutofrError, match=r"train-00000.tar, 0+ has no landmarks, and .*; pack it again"):
        list(read_shard(shards, name, count))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 9}, "no index of version 1"),
        ({"identities": 1}, "it claims 1 and"),
        ({"train": [["../../etc/passwd", 3]]}, "no name of a shard"),
        ({"train": [["pipe:reboot", 3]]}, "no name of a shard"),
        ({"train": [["train-00000.tar", -3]]}, "has -3 samples"),
        ({"train": []}, "no train shards"),
        ({"train": [["train-00000.tar", 10**9]]}, "has 1000000000 samples"),
        ({"identities": 10**9}, "it claims 1000000000 and"),
        ({"scheme": "ibug99"}, "unknown landmark scheme"),
    ],
)
def test_an_index_that_lies(packed: Path, change: dict[str, Any], told: str) -> None:
    index = packed / "shards.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | change))
    with pytest.raises(AutofrError, match=told):
        open_shards(packed)


@pytest.mark.parametrize("url", ["pipe:touch x; echo ://x", "foo://bar", "https://a b/c", "file:///etc"])
def test_a_url_executes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AutofrError, match="is no URL of shards; take http"):
        open_shards(url)
    assert not list(tmp_path.iterdir())


def test_labels_past_the_identities(packed: Path, logged: list[str]) -> None:
    for path in packed.glob("*.tar"):
        path.write_bytes(path.read_bytes().replace(b'"label": 0,', b'"label": 9,'))
    shards = open_shards(packed)
    with pytest.raises(AutofrError, match="has label 9, past the set's identities"):
        read_validation(shards, 32)
    source = ShardsSource(replace(shards, identities=5), 32, 8, 0)
    read = [source.read(step).labels for step in range(source.steps_per_epoch)]
    assert int(torch.cat(read).max()) < 5
    assert logged


def test_what_is_refused_before_anything_is_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for flags, told in (
        (["--shard-size", "0"], "a shard holds 1 image or more"),
        (["--validation-identities", "500"], "validation needs 2 identities or more"),
        (["--seed", "-1"], "a seed is 0 or more"),
    ):
        assert main(["pack", str(folder), str(out), *flags]) == 2
        assert told in capsys.readouterr().err
        assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert main(["pack", str(folder), str(out)]) == 2
    assert "is no set in shards: it has mine.txt" in capsys.readouterr().err
    assert main(["search", "--space", "arcface_margins", "--data", f"{tmp_path}/none/shards.json"]) == 2
    assert "'autofr pack' makes sets in shards" in capsys.readouterr().err


def test_too_many_broken_images_are_refused(folder: Path, tmp_path: Path) -> None:
    for place, path in enumerate(sorted(folder.glob("*/*"))):
        if place % 4 == 0:
            path.write_bytes(b"no image")
    with pytest.raises(AutofrError, match=r"cannot be read .*over 5%; repair or remove them"):
        pack(folder, tmp_path / "shards", **SETTINGS)
    assert not (tmp_path / "shards").exists()


def test_shards_from_a_url(packed: Path) -> None:
    handler = partial(_Quiet, directory=str(packed))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = open_shards(f"http://127.0.0.1:{server.server_port}/")
        here = open_shards(packed)
        assert there.train == here.train
        found = ShardsSource(there, 32, 8, 0).read(0)
        assert torch.equal(found.pixels, ShardsSource(here, 32, 8, 0).read(0).pixels)
        server.shutdown()
    with pytest.raises(AutofrError, match="cannot be read"):
        open_shards(there.source)


@pytest.mark.parametrize("password", ["p:w@1", "wrong"])
def test_shards_behind_a_password_and_an_odd_name(password: str, packed: Path) -> None:
    root = packed.parent
    (root / "ü b").symlink_to(packed)

    class Asks(_Quiet):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") == "Basic " + base64.b64encode(b"me:p:w@1").decode():
                super().do_GET()
                return
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="faces"')
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Asks, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://me:{urllib.parse.quote(password)}@127.0.0.1:{server.server_port}/ü%20b"
        if password == "wrong":
            with pytest.raises(AutofrError, match="401"):
                open_shards(url)
        else:
            there, here = open_shards(url), open_shards(packed)
            (name, count), *_ = here.train
            assert [*read_shard(there, name, count)] == [*read_shard(here, name, count)]
        server.shutdown()


@pytest.mark.parametrize("url", ["http://[::1/x", "http://a:b/x", "http:///x"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(AutofrError, match="is no URL of shards"):
        open_shards(url)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Breaking(_Quiet):
    """A server that sends every first answer for a shard in part: as much as it says it will, or a broken chunk."""

    answered: set[str]
    chunked = False

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.suffix != ".tar" or self.path in self.answered:
            super().do_GET()
            return
        self.answered.add(self.path)
        content = path.read_bytes()
        part = content[: len(content) // 2]
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        if self.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            part = b"%x\r\n%s" % (len(content), part)
        else:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(part)
        self.close_connection = True


@pytest.mark.parametrize("chunked", [False, True])
def test_a_connection_that_breaks_is_tried_again(chunked: bool, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the sample that it broke at: none is lost, none comes twice."""
    monkeypatch.setattr("autofr.data.shards.RETRIES", (0.0, 0.0))
    handler = partial(type("Handler", (_Breaking,), {"answered": set(), "chunked": chunked}), directory=str(packed))
    here = open_shards(packed)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        there = open_shards(f"http://127.0.0.1:{server.server_port}")
        for name, count in here.train:
            assert [*read_shard(there, name, count)] == [*read_shard(here, name, count)]
        server.shutdown()


@pytest.mark.search
@pytest.mark.slow
def test_a_search_of_shards_is_resumed_exactly(
    packed: Path, tmp_path: Path, tiny: dict[str, Any], same_outcome: Any
) -> None:
    settings = {k: v for k, v in tiny.items() if k != "validation_identities"} | {"image_size": 32}
    whole = autofr.search("arcface_margins", packed, run_dir=tmp_path / "whole", population=2, **settings)

    class Enough(Exception):  # noqa: N818
        pass

    def watch(record: Any) -> None:
        if record.generation == 1:
            raise Enough

    with pytest.raises(Enough):
        autofr.search("arcface_margins", packed, run_dir=tmp_path / "part", population=2, watch=watch, **settings)
    assert main(["search", f"--resume={tmp_path / 'part'}", "--no-tracking"]) == 0
    assert same_outcome(whole.run_dir, tmp_path / "part")


def test_labels_and_masks_of_a_batch(packed: Path) -> None:
    shards = open_shards(packed)
    source = ShardsSource(shards, 32, 8, 0)
    assert source.maskable
    read = source.read(0)
    assert read.pixels.dtype == torch.uint8
    assert read.pixels.shape == (8, 3, 32, 32)
    assert read.anchors is not None
    assert read.anchors.shape == (8, 19, 2)
    assert 0 <= int(read.labels.min()) <= int(read.labels.max()) < shards.identities
    half = ShardsSource(shards, 32, 8, 0, mesh=replace(ALONE, data=2, part=1)).read(0)
    assert len(half.labels) == 4


def test_real_faces_in_shards(real_faces: Path, tmp_path: Path) -> None:
    small = tmp_path / "few"
    small.mkdir()
    for person in sorted((real_faces / "train").iterdir())[:12]:
        os.symlink(person, small / person.name)
    done = pack(
        small,
        tmp_path / "shards",
        landmarks=real_faces / "train_landmarks.npz",
        validation_identities=2,
        progress=False,
    )
    shards = open_shards(done.folder)
    assert shards.scheme == "ibug68"
    source = ShardsSource(shards, 112, 16, 0)
    read = source.read(0)
    assert read.anchors is not None
    assert np.isfinite(read.anchors.numpy()).mean() > 0.5


def test_batches_are_the_same_wherever_reading_begins(packed: Path) -> None:
    shards = open_shards(packed)
    source = ShardsSource(shards, 32, 8, 0)
    inorder = [source.read(step) for step in range(6)]
    for step in (3, 0, 5, 4):
        source.seek(step)
        again = source.read(step)
        assert torch.equal(again.pixels, inorder[step].pixels)
        assert torch.equal(again.labels, inorder[step].labels)


def test_a_reader_that_is_killed_is_replaced(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = open_shards(packed)
    expected = [ShardsSource(shards, 32, 8, 0).read(step).labels.tolist() for step in range(5)]
    source = ShardsSource(shards, 32, 8, 0)
    met = [source.read(0).labels.tolist()]
    assert source._reader is not None
    os.kill(source._reader.pid, signal.SIGKILL)
    met += [source.read(step).labels.tolist() for step in range(1, 5)]
    assert met == expected

    class Doomed(Worker):
        def call(self, method: str, *arguments: Any, patience: float | None = None) -> Any:
            os.kill(self.pid, signal.SIGKILL)
            return super().call(method, *arguments, patience=patience)

    monkeypatch.setattr("autofr.data.sources.Worker", Doomed)
    with pytest.raises(AutofrError, match=rf"reading {packed}: process \d+ ended with status -9, twice"):
        ShardsSource(shards, 32, 8, 0).read(0)


def test_a_reader_that_hangs_is_given_up(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its third call; until then it has all the time that it needs."""

    class Stopped(Worker):
        calls = 0

        def call(self, method: str, *arguments: Any, patience: float | None = None) -> Any:
            self.calls += 1
            if self.calls < 3:
                return super().call(method, *arguments)
            os.kill(self.pid, signal.SIGSTOP)
            return super().call(method, *arguments, patience=0.1 if patience else None)

    monkeypatch.setattr("autofr.data.sources.Worker", Stopped)
    source = ShardsSource(open_shards(packed), 32, 8, 0)
    with pytest.raises(AutofrError, match=rf"reading {packed} has not returned for 120 s: is its file system"):
        [source.read(step) for step in range(9)]


def test_a_shard_that_is_a_pipe_is_not_waited_for(packed: Path) -> None:
    shards = open_shards(packed)
    name, count = shards.train[0]
    (packed / name).unlink()
    os.mkfifo(packed / name)
    found = list(read_shard(shards, name, count))
    assert all(sample.image is None and "is no regular file" in sample.name for sample in found)


def test_a_part_of_a_batch_of_which_nothing_can_be_read(
    packed: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    """As where many ranks have an image each: the last ones that could be read stand in."""
    shards = open_shards(packed)
    bad = ShardStream(shards, derive_seed(0, "shards")).take(3, 1)[0]
    plain = ShardsSource(shards, 32, 1, 0)
    expected = [plain.read(step) for step in range(6)]

    def broken(samples: list[Any], *others: Any) -> Any:
        return decode_samples([s._replace(image=b"no image") if s.name == bad.name else s for s in samples], *others)

    monkeypatch.setattr("autofr.data.sources.decode_samples", broken)
    source = ShardsSource(shards, 32, 1, 0)
    found = [source.read(step) for step in range(6)]
    assert torch.equal(found[3].pixels, expected[2].pixels)
    assert torch.equal(found[3].labels, expected[2].labels)
    assert all(torch.equal(found[i].pixels, expected[i].pixels) for i in (0, 1, 2, 4, 5))
    assert bad.name in logged[0]
    with pytest.raises(AutofrError, match="no sample of a batch can be read"):
        ShardsSource(shards, 32, 1, 0).read(3)


def test_every_one_of_a_few_lost_samples_is_named_then_fewer(packed: Path, logged: list[str]) -> None:
    source = ShardsSource(replace(open_shards(packed), train=[("train-00000.tar", 10**6)]), 32, 8, 0)
    for number in range(40):
        source._met += 25
        source._tell({0: f"face {number}"})
    assert len(logged) == 16 + 1  # and the 32nd
    assert all(f"face {number}" in logged[number] for number in range(16))
    assert "32 of 800 samples so far" in logged[16]
    source._met = 1000
    with pytest.raises(AutofrError, match=r"is .*shards whole"):
        source._tell(dict.fromkeys(range(11), "face"))


def test_packing_more_than_a_shard_may_hold(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="a shard holds 10000000 images at most, got 10000001"):
        pack(folder, tmp_path / "out", shard_size=10_000_001)
