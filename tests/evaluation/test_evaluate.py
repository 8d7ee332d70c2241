import json
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, roc_curve
from sklearn.model_selection import KFold

import autofr
from autofr import AutofrError
from autofr.backbones.embedder import save_weights
from autofr.data import load_faces, scan_folder
from autofr.data.ijb import read_ijb
from autofr.evaluation.embedding import masked_faces
from autofr.evaluation.evaluate import evaluate
from autofr.evaluation.protocols.pairs import fold_accuracies, read_pairs
from autofr.runs.network import load_embedder
from tests.paths import REPOSITORY

QUIET: dict[str, Any] = {"progress": False, "device": "cpu"}


def embeddings(net: Path, folder: Path, flip: bool = True) -> torch.Tensor:
    """Of a folder's images, by way of the embedder alone."""
    faces = load_faces(scan_folder(folder), 112)
    pixels = faces.read(torch.arange(len(faces)))
    embedder = load_embedder(net)
    size = embedder.config["image_size"]
    small = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True).float() / 127.5 - 1
    with torch.no_grad():
        out = embedder.backbone(small)
        return out + embedder.backbone(small.flip(-1)) if flip else out


@pytest.mark.search
@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.usefixtures("no_pictures")
def test_all_pairs_of_a_folder(net: Path, folder: Path, flip: bool) -> None:
    report = evaluate(net, folder, flip=flip, fmrs=[0.05], **QUIET)
    unit = torch.nn.functional.normalize(embeddings(net, folder, flip))
    labels = torch.arange(32) // 4
    first, second = torch.triu_indices(32, 32, 1)
    scores, same = (unit[first] * unit[second]).sum(1), labels[first] == labels[second]
    fpr, tpr, _ = roc_curve(same.numpy(), scores.numpy(), drop_intermediate=False)
    row = report["results"]["standard"]
    assert (row["genuine"], row["impostor"]) == (48, 448)
    assert row["rates"][0]["tar"] == pytest.approx(tpr[fpr <= 0.05].max(), abs=1e-12)
    assert row["rates"][0]["interval"][0] <= row["rates"][0]["fnmr"] <= row["rates"][0]["interval"][1]
    assert report["results"]["masked"]["impostor"] == 2 * 448  # masked probe i against bare j, and j against i
    assert report["flip"] is flip


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_masks_are_those_of_the_seed_whatever_the_model(net: Path, other_net: Path, folder: Path) -> None:
    one, two, reseeded = (
        evaluate(model, folder, seed=seed, bootstrap=0, **QUIET) for model, seed in ((net, 0), (other_net, 0), (net, 1))
    )
    assert one["masks"] == two["masks"]
    assert one["masks"] != reseeded["masks"]
    assert one["results"]["masked"]["worst"] != reseeded["results"]["masked"]["worst"]
    assert one["results"]["standard"] == reseeded["results"]["standard"]
    assert {"on", "seed", "version", "pixels", "coverage", "material", "landmarks", "bare"} <= one["masks"].keys()


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_masks_on_the_probe_on_both_or_nowhere(net: Path, folder: Path, tmp_path: Path) -> None:
    reports = {on: evaluate(net, folder, masked=on, bootstrap=0, **QUIET) for on in ("probe", "both", "no")}
    assert list(reports["no"]["results"]) == ["standard"]
    assert reports["no"]["masks"] is None
    assert reports["both"]["results"]["masked"]["impostor"] == 448  # one masked set: each pair once
    assert all(entry["masked"] == [True, True] for entry in reports["both"]["results"]["masked"]["worst"])
    assert all(entry["masked"] == [True, False] for entry in reports["probe"]["results"]["masked"]["worst"])
    # Both sides masked, by hand.
    faces = load_faces(scan_folder(folder), 112)
    copies = masked_faces(faces, range(32), 0)
    target = tmp_path / "copies"
    for place, name in enumerate(faces.names):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(copies[place].permute(1, 2, 0).numpy()).save(target / name)
    again = evaluate(net, target, bootstrap=0, **QUIET)["results"]["standard"]
    assert again["rates"] == reports["both"]["results"]["masked"]["rates"]


@pytest.mark.search
def test_faces_without_landmarks_may_hang_masks_on_the_template(net: Path, folder: Path) -> None:
    (folder.parent / "faces_landmarks.npz").unlink()
    assert evaluate(net, folder, bootstrap=0, **QUIET)["masks"] is None
    with pytest.raises(AutofrError, match="--landmarks template"):
        evaluate(net, folder, masked="probe", **QUIET)
    report = evaluate(net, folder, masked="probe", landmarks="template", bootstrap=0, **QUIET)
    assert (report["masks"]["landmarks"], report["masks"]["bare"]) == ("template", 0)
    assert report["results"]["masked"]["eer"] != report["results"]["standard"]["eer"]


def test_stored_embeddings_score_as_the_model_does(net: Path, folder: Path, tmp_path: Path) -> None:
    model = evaluate(net, folder, masked="no", **QUIET)
    np.save(tmp_path / "e.npy", embeddings(net, folder).numpy())
    names = scan_folder(folder).names
    (tmp_path / "names.txt").write_text("\n".join(names))
    (tmp_path / "labels.txt").write_text("\n".join(name.split("/")[0] for name in names))
    for arguments in ({"labels": tmp_path / "names.txt"}, {"labels": tmp_path / "labels.txt"}, {"data": folder}):
        stored = evaluate(tmp_path / "e.npy", **arguments, **QUIET)
        for key in ("genuine", "impostor", "rates", "eer"):
            assert stored["results"]["standard"][key] == model["results"]["standard"][key]
        assert (stored["flip"], stored["model"]["kind"]) == (None, "embeddings")
    assert evaluate(tmp_path / "e.npy", folder, **QUIET)["benchmark"] == model["benchmark"]


@pytest.mark.search
def test_a_bin_file_plain_and_masked(net: Path, folder: Path, tmp_path: Path) -> None:
    faces = load_faces(scan_folder(folder), 112)
    encoded, same = [], []
    for place in range(40):
        genuine = place % 2 == 0
        for index in (place % 8 * 4, place % 8 * 4 + 1 if genuine else (place + 1) % 8 * 4):
            path = tmp_path / "one.png"
            Image.fromarray(faces.read(torch.tensor([index]))[0].permute(1, 2, 0).numpy()).save(path)
            encoded.append(path.read_bytes())
        same.append(genuine)
    data = tmp_path / "pairs.bin"
    data.write_bytes(pickle.dumps((encoded, same)))
    report = evaluate(net, data, **QUIET)
    row = report["results"]["standard"]
    assert (report["benchmark"]["protocol"], row["genuine"], row["impostor"]) == ("bin", 20, 20)
    assert 0 <= row["accuracy"] <= 1
    assert row["rates"][0]["interval"] is None
    assert "no intervals" in report["notes"][0]
    assert report["masks"] is None
    masked = evaluate(net, data, masked="both", **QUIET)
    assert masked["masks"]["landmarks"] == "template"
    assert masked["results"]["masked"]["eer"] is not None
    with pytest.raises(AutofrError, match="has no landmarks file"):
        evaluate(net, data, landmarks=folder.parent / "faces_landmarks.npz", **QUIET)


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_an_ijb_set_by_model_and_by_embeddings(net: Path, make_ijb: Callable[[Path], Path], tmp_path: Path) -> None:
    data = make_ijb(tmp_path / "ijb")
    report = evaluate(net, data, fmrs=[0.5], out=tmp_path / "out", bootstrap=0, **QUIET)
    assert report["benchmark"] | {"fingerprint": ""} == {
        "protocol": "ijb",
        "pooling": "media",
        "detector_scores": True,
        "norms": True,
        "metadata": report["benchmark"]["metadata"],
        "shown": "fnmr",
        "data": "ijb",
        "images": 6,
        "identities": 3,
        "fingerprint": "",
    }
    assert (report["results"]["standard"]["genuine"], report["results"]["standard"]["impostor"]) == (1, 2)
    assert (report["masks"]["landmarks"], report["masks"]["bare"]) == ("points5", 0)  # its own five points
    assert (tmp_path / "out" / "worst_masked.png").is_file()
    faces, _ = read_ijb(data)
    pixels = faces.read(torch.arange(6))
    small = torch.nn.functional.interpolate(pixels, (32, 32), mode="bilinear", antialias=True).float() / 127.5 - 1
    with torch.no_grad():
        backbone = load_embedder(net).backbone
        np.save(tmp_path / "e.npy", (backbone(small) + backbone(small.flip(-1))).numpy())
    stored = evaluate(tmp_path / "e.npy", data, fmrs=[0.5], bootstrap=0, **QUIET)
    assert stored["benchmark"] == report["benchmark"]
    for one, other in zip(stored["results"]["standard"]["worst"], report["results"]["standard"]["worst"], strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    other = evaluate(net, data, protocol="ijb:pooling=mean,norms=False", fmrs=[0.5], masked="no", bootstrap=0, **QUIET)
    assert other["benchmark"]["fingerprint"] != report["benchmark"]["fingerprint"]
    (tmp_path / "l.txt").write_text("a\n" * 6)
    for arguments, told in (
        ({"model": net, "landmarks": "x.npz"}, "brings five points"),
        (
            {"model": tmp_path / "e.npy", "data": None, "protocol": "ijb", "labels": tmp_path / "l.txt"},
            "knows what its",
        ),
    ):
        with pytest.raises(AutofrError, match=told):
            evaluate(**{"data": data, **arguments, **QUIET})


def test_a_rate_that_cannot_be_shown_is_said(net: Path, folder: Path) -> None:
    report = evaluate(net, folder, fmrs=[0.1, 1e-3], masked="no", **QUIET)
    measured, other = report["results"]["standard"]["rates"]
    assert measured["fnmr"] is not None
    assert (other["fnmr"], other["tar"], other["threshold"], other["interval"]) == (None,) * 4
    assert report["notes"] == ["FMR 0.001 needs 1000 impostor pairs, standard has 448: not measurable"]
    json.dumps(report, allow_nan=False)


def test_an_interval_that_cannot_be_given_is_said(net: Path, folder: Path) -> None:
    """One impostor pair of 448 may match; a draw of identities has fewer pairs, and none may."""
    report = evaluate(net, folder, fmrs=[0.0025], masked="no", **QUIET)
    rate = report["results"]["standard"]["rates"][0]
    assert rate["fnmr"] is not None
    assert rate["interval"] is None
    assert report["notes"] == ["standard: no interval at FMR 0.0025: a draw of identities does not reach it"]


@pytest.mark.search
def test_what_is_written(net: Path, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports" / "one"
    for _ in range(2):  # the second replaces the first
        report = evaluate(net, folder, out=out, bootstrap=10, **QUIET)
    assert json.loads((out / "report.json").read_text()) == report
    pictures = ["det.png", "scores.png", "worst_masked.png", "worst_standard.png"]
    assert sorted(p.name for p in out.iterdir()) == sorted(["report.json", *pictures])
    for name in pictures:
        with Image.open(out / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert [p.name for p in out.parent.iterdir()] == ["one"]
    worst = report["results"]["masked"]["worst"]
    assert len(worst) == 16
    assert [entry["kind"] for entry in worst] == ["false non-match"] * 8 + ["false match"] * 8
    genuine, impostor = ([entry["score"] for entry in half] for half in (worst[:8], worst[8:]))
    assert genuine == sorted(genuine)
    assert impostor == sorted(impostor, reverse=True)
    for entry in worst:
        people = {name.split("/")[0] for name in entry["names"]}
        assert len(people) == (1 if entry["kind"] == "false non-match" else 2)


def test_every_key_of_a_report_is_documented(net: Path, folder: Path) -> None:
    text = (REPOSITORY / "docs" / "evaluation.md").read_text()
    report = evaluate(net, folder, bootstrap=5, **QUIET)

    def keys(value: Any, path: tuple[str, ...] = ()) -> set[str]:
        if isinstance(value, dict):
            skipped = path in (("results",), ("masks", "coverage"), ("masks", "material"))
            return {k for k in value if not skipped} | {x for k, v in value.items() for x in keys(v, (*path, k))}
        return {x for v in value for x in keys(v, path)} if isinstance(value, list) else set()

    missing = {key for key in keys(report) if f"`{key}`" not in text}
    assert not missing


def bad_cases(net: Path, folder: Path, tmp_path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Arguments that cannot be used, and what is said."""
    one = tmp_path / "single" / "ann"
    one.mkdir(parents=True)
    alone = tmp_path / "alone"
    for place, source in enumerate(sorted(folder.glob("*/*.png"))[:4]):
        (one / f"{place}.png").write_bytes(source.read_bytes())
        (alone / f"p{place}").mkdir(parents=True)
        (alone / f"p{place}" / "a.png").write_bytes(source.read_bytes())
    np.save(tmp_path / "e.npy", np.ones((3, 4), dtype=np.float32))
    np.save(tmp_path / "zero.npy", np.zeros((2, 4), dtype=np.float32))
    (tmp_path / "l.txt").write_text("a\nb\n")
    np.save(tmp_path / "four.npy", np.eye(4, dtype=np.float32))
    (tmp_path / "distinct.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "same.txt").write_text("a\na\na\na\n")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    (tmp_path / "empty.bin").touch()
    return {
        "no data": ({"data": None}, "--data is needed: a folder"),
        "no such data": ({"data": tmp_path / "none"}, "no such file or folder"),
        "one identity": ({"data": tmp_path / "single"}, "no impostor pair"),
        "one image each": ({"data": alone}, "no genuine pair"),
        "labels of images": ({"labels": tmp_path / "l.txt"}, "--labels goes with embeddings"),
        "labels of another length": (
            {"model": tmp_path / "e.npy", "data": None, "labels": tmp_path / "l.txt"},
            "has 2 rows, .* has 3 embeddings",
        ),
        "images of another number": ({"model": tmp_path / "e.npy"}, "has 32 rows, .* has 3 embeddings"),
        "embeddings of nobody": ({"model": tmp_path / "e.npy", "data": None}, "needs --labels"),
        "zero norm": (
            {"model": tmp_path / "zero.npy", "data": None, "labels": tmp_path / "l.txt"},
            "no genuine pair",
        ),
        "no genuine labels": (
            {"model": tmp_path / "four.npy", "data": None, "labels": tmp_path / "distinct.txt"},
            "no genuine pair",
        ),
        "no impostor labels": (
            {"model": tmp_path / "four.npy", "data": None, "labels": tmp_path / "same.txt"},
            "no impostor pair",
        ),
        "flip of embeddings": ({"model": tmp_path / "e.npy", "flip": True}, "are for images, not for stored"),
        "labels and data": (
            {"model": tmp_path / "e.npy", "labels": tmp_path / "l.txt"},
            "give one of them",
        ),
        "landmarks without masks": ({"landmarks": "template", "masked": "no"}, "--masked no renders none"),
        "below a file": ({"out": tmp_path / "l.txt" / "out"}, "is a file"),
        "masks on embeddings": (
            {"model": tmp_path / "e.npy", "masked": "probe"},
            "embeddings of masked images are a file of their own",
        ),
        "a rate": ({"fmrs": [0.1, 1.0]}, "between 0 and 1"),
        "a rate twice": ({"fmrs": [0.1, 0.1]}, "each given once"),
        "a seed": ({"seed": -1}, "--seed is 0 or more, got -1"),
        "masked": ({"masked": "all"}, "no, probe, both"),
        "a folder of others": ({"out": tmp_path / "taken"}, "is no evaluation: it has file"),
        "an empty bin": ({"data": tmp_path / "empty.bin"}, "is empty"),
        "a protocol": ({"protocol": "ijbb"}, "unknown protocol 'ijbb'; did you mean ijb"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "no data",
        "no such data",
        "one identity",
        "one image each",
        "labels of images",
        "labels of another length",
        "images of another number",
        "embeddings of nobody",
        "zero norm",
        "no genuine labels",
        "no impostor labels",
        "masks on embeddings",
        "flip of embeddings",
        "labels and data",
        "landmarks without masks",
        "below a file",
        "a rate",
        "a rate twice",
        "a seed",
        "masked",
        "a folder of others",
        "an empty bin",
        "a protocol",
    ],
)
def test_bad_input_is_told(case: str, net: Path, folder: Path, tmp_path: Path) -> None:
    changed, told = bad_cases(net, folder, tmp_path)[case]
    arguments = {"model": net, "data": folder, "out": tmp_path / "out", **QUIET, **changed}
    with pytest.raises(AutofrError, match=told):
        evaluate(**arguments)
    assert not (tmp_path / "out").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_lengths_do_not_matter(net: Path, folder: Path, tmp_path: Path) -> None:
    vectors = embeddings(net, folder).numpy()
    results = []
    for scale in (1.0, 1e-25, 1e25):
        np.save(tmp_path / "e.npy", vectors * np.where(np.arange(32) % 3, 1, scale)[:, None].astype(np.float32))
        report = evaluate(tmp_path / "e.npy", folder, fmrs=[0.1], bootstrap=0, **QUIET)
        results.append((report["results"]["standard"]["rates"][0]["fnmr"], report["results"]["standard"]["eer"]))
    assert results[0] == results[1] == results[2]


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_neighbours_of_the_report_are_left_alone(net: Path, folder: Path, tmp_path: Path) -> None:
    for name in ("out.tmp", "out.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").touch()
    for _ in range(2):
        evaluate(net, folder, out=tmp_path / "out", bootstrap=0, **QUIET)
    assert (tmp_path / "out.tmp" / "precious").exists()
    assert (tmp_path / "out.old" / "precious").exists()
    (tmp_path / "out" / "sub").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.json").write_text("{}")
    (tmp_path / "mine" / "thesis.tex").touch()
    for taken, told in (
        (tmp_path, "is no evaluation"),
        (tmp_path / "out", "it has sub"),
        (tmp_path / "mine", "thesis.tex"),
    ):
        with pytest.raises(AutofrError, match=told):
            evaluate(net, folder, out=taken, bootstrap=0, **QUIET)
    with pytest.raises(AutofrError, match="is the working directory"):
        evaluate(net, folder, out=".", bootstrap=0, **QUIET)
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.search
@pytest.mark.usefixtures("no_pictures")
def test_a_report_that_cannot_be_written_leaves_the_older_one(
    net: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = evaluate(net, folder, out=tmp_path / "out", bootstrap=0, **QUIET)

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("autofr.evaluation.plots.plot_scores", full)
    with pytest.raises(OSError, match="no space"):
        evaluate(net, folder, out=tmp_path / "out", bootstrap=0, seed=1, **QUIET)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.search
def test_rows_may_have_any_name(net: Path, folder: Path, tmp_path: Path) -> None:
    names = scan_folder(folder).names
    (tmp_path / "a.csv").write_text("\n".join(["name,set", *(f"{n},East/Asian ü" for n in names)]))
    out = tmp_path / "out"
    options = {"protocol": "insightface", "attributes": tmp_path / "a.csv", "fmrs": [0.1], "bootstrap": 0}
    report = evaluate(net, folder, out=out, **options, **QUIET)
    assert list(report["results"]) == ["East/Asian ü", "MR-All"]
    assert len(list(out.glob("worst_*.png"))) == 2
    assert report["benchmark"]["shown"] == "tar"


def test_turning_a_bin_files_labels_round_makes_another_benchmark(net: Path, folder: Path, tmp_path: Path) -> None:
    encoded = [p.read_bytes() for p in sorted(folder.glob("*/*.png"))[:24]]
    reports = []
    for turn in (False, True):
        path = tmp_path / "pairs.bin"
        path.write_bytes(pickle.dumps((encoded, [(place % 2 == 0) != turn for place in range(12)])))
        reports.append(evaluate(net, path, bootstrap=0, **QUIET))
    assert reports[0]["benchmark"]["fingerprint"] != reports[1]["benchmark"]["fingerprint"]
    assert reports[0]["benchmark"]["identities"] is None


def test_vectors_that_cannot_be_compared(net: Path, folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "l.txt"
    labels.write_text("a\na\nb\nb\n")
    for bad, told in ((math.nan, "not finite"), (0.0, "of length zero")):
        vectors = np.eye(4, dtype=np.float32)
        vectors[2] = bad
        np.save(tmp_path / "e.npy", vectors)
        with pytest.raises(AutofrError, match=f"1 of 4 embeddings of e are {told}"):
            evaluate(tmp_path / "e.npy", labels=labels, **QUIET)
    weights = net / "model.safetensors"
    broken = {k: torch.full_like(v, math.nan) if v.is_floating_point() else v for k, v in load_file(weights).items()}
    save_weights(net, json.loads((net / "config.json").read_text()), broken)
    with pytest.raises(AutofrError, match="32 of 32 embeddings of net are not finite"):
        evaluate(net, folder, **QUIET)


def sklearn_folds(scores: np.ndarray, same: np.ndarray) -> list[float]:
    """LFW's view 2 by scikit-learn: ten folds in order, of each the threshold that was best on the others. Of equally
    good thresholds it is the lowest, and it lies in the middle between two scores."""
    found = []
    for train, test in KFold(10, shuffle=False).split(scores):
        fpr, tpr, thresholds = roc_curve(same[train], scores[train], drop_intermediate=False)
        right = np.round(tpr * same[train].sum() + (1 - fpr) * (~same[train]).sum())
        best = len(right) - 1 - int(np.argmax(right[::-1]))
        middle = (thresholds[best] + thresholds[best + 1]) / 2
        found.append(accuracy_score(same[test], scores[test] > middle))
    return found


@pytest.mark.search
@pytest.mark.slow
def test_lfw_against_scikit_learn_on_the_same_scores(net: Path, real_faces: Path) -> None:
    pairs = read_pairs(real_faces / "lfw_pairs.txt", scan_folder(real_faces / "lfw").names)
    unit = torch.nn.functional.normalize(embeddings(net, real_faces / "lfw"))
    scores = (unit[pairs.first] * unit[pairs.second]).sum(1)
    folds = fold_accuracies(scores, pairs)
    np.testing.assert_allclose(folds, sklearn_folds(scores.double().numpy(), pairs.same.numpy()), atol=1e-12)
    report = evaluate(net, real_faces / "lfw", pairs=real_faces / "lfw_pairs.txt", masked="no", **QUIET)
    row = report["results"]["standard"]
    # Embedded in other batches, scores differ in their last digits: a pair in 6000 may change sides.
    assert row["accuracy"] == pytest.approx(folds.mean(), abs=5e-4)
    fpr, tpr, _ = roc_curve(pairs.same.numpy(), scores.numpy(), drop_intermediate=False)
    for rate in row["rates"]:
        assert rate["tar"] == pytest.approx(tpr[fpr <= rate["fmr"]].max(), abs=1e-3)


@pytest.mark.search
@pytest.mark.slow
def test_worn_masks_of_mfr2_as_the_webface_track(net: Path, real_faces: Path, tmp_path: Path) -> None:
    names = scan_folder(real_faces / "mfr2").names
    worn = {}
    for line in (real_faces / "mfr2_labels.txt").read_text().splitlines():
        person, number, kind = (part.strip() for part in line.split(","))
        worn[f"{person}/{person}_{int(number):04d}"] = kind != "no-mask"
    rows = ["name,scene,masked"]
    rows += [f"{n},{'wild' if i % 2 else 'controlled'},{int(worn[n.rsplit('.', 1)[0]])}" for i, n in enumerate(names)]
    (tmp_path / "mfr2.csv").write_text("\n".join(rows))
    report = evaluate(
        net, real_faces / "mfr2", protocol="webface260m", attributes=tmp_path / "mfr2.csv", fmrs=[1e-2], **QUIET
    )
    assert list(report["results"]) == [f"{k} {g}" for k in ("SFR", "MFR") for g in ("All", "Wild", "Controlled")]
    assert report["results"]["MFR All"]["genuine"] > 100
    sfr, mfr = (report["results"][f"{kind} All"]["rates"][0]["fnmr"] for kind in ("SFR", "MFR"))
    assert report["summary"]["blended All"] == pytest.approx(0.25 * mfr + 0.75 * sfr)
    with pytest.raises(AutofrError, match="masks are really worn"):
        evaluate(
            net,
            real_faces / "mfr2",
            protocol="webface260m",
            attributes=tmp_path / "mfr2.csv",
            masked="probe",
            **QUIET,
        )


def test_it_is_the_public_function() -> None:
    assert autofr.evaluate is evaluate


@pytest.mark.search
def test_notes_are_of_what_the_evaluation_does(net: Path, folder: Path) -> None:
    """What concerns masks is left out where none is rendered, and what concerns training always."""
    path = folder.with_name("faces_landmarks.npz")
    with np.load(path) as stored:
        names, landmarks = stored["names"], stored["landmarks"]
    np.savez(path, names=names[2:], landmarks=landmarks[2:])
    for image in sorted((folder / "person_0007").iterdir())[1:]:
        image.unlink()  # who is left with one image is not scored on in a search
    masked = evaluate(net, folder, fmrs=[0.05], **QUIET)
    assert any("2 of 29 images have no usable landmarks: never masked" in note for note in masked["notes"])
    plain = evaluate(net, folder, masked="no", fmrs=[0.05], **QUIET)
    assert not any("never masked" in note for note in plain["notes"])
    assert not any("kept for training" in note for note in masked["notes"] + plain["notes"])
