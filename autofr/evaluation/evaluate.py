"""`autofr.evaluate`: a model, or its embeddings, on a benchmark."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from autofr.compute.device import pick_device
from autofr.console import Display
from autofr.data import Faces
from autofr.data.faces import Concern
from autofr.detection.align import SIZE, TEMPLATE
from autofr.evaluation.bootstrap import intervals
from autofr.evaluation.embedding import embed_set, mask_parameters
from autofr.evaluation.errors import measure
from autofr.evaluation.protocols import Embedded, Protocol, Row, create_protocol
from autofr.evaluation.report import EVALUATION, VERSION, Evaluation, report_row
from autofr.evaluation.stored import check_vectors, read_embeddings, read_labels
from autofr.exceptions import AutofrError
from autofr.masks.geometry import AWAY
from autofr.models import load_model

MASKED = ("no", "probe", "both")
TEMPLATE_LANDMARKS = "template"
"""As ``landmarks``: masks hang on the template's five points, to which every face is aligned."""


def evaluate(
    model: str | Path,
    data: str | Path | None = None,
    *,
    protocol: str | None = None,
    pairs: str | Path | None = None,
    attributes: str | Path | None = None,
    labels: str | Path | None = None,
    landmarks: str | Path | None = None,
    landmark_scheme: str | None = None,
    masked: str | None = None,
    flip: bool | None = None,
    fmrs: Sequence[float] | None = None,
    bootstrap: int = 200,
    seed: int = 0,
    device: str = "auto",
    progress: bool = True,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Verification errors of a model on a benchmark, as it is and with rendered masks.

    Args:
        model: a run directory, a checkpoint, ``FILE.onnx``, ``timm/NAME`` (:func:`autofr.models.load_model`), or
            ``FILE.npy``: embeddings (N, D).
        data: a folder with one sub-folder an identity, a ``.bin`` file, or the folder of an IJB set. With embeddings:
            the folder whose images, in order of their paths, they are of; may be left out with ``labels``.
        protocol: what to compare, with settings or without: ``all``, ``pairs``, ``bin``, ``ijb:pooling=mean``,
            ``webface260m``, ``insightface``; ``None``: as ``data``, ``pairs`` say.
        pairs: a list of pairs (LFW's, MFR2's).
        attributes: a CSV of attributes of images, for the challenge's tracks.
        labels: of embeddings: a label or an image name (``IDENTITY/IMAGE``) a row, as text or ``.npy``.
        landmarks: ``.npz`` of landmarks; ``None``: ``DATA_landmarks.npz`` beside the folder; ``"template"``: the five
            points of the ArcFace template, for faces that are aligned to it.
        landmark_scheme: what the landmarks are (:func:`autofr.masks.landmark_scheme`); ``None``: the file or their
            number says it.
        masked: ``probe``: masks are rendered on the probe, or the second image of a pair; ``both``: on both; ``no``;
            ``None``: ``probe`` where there are landmarks.
        flip: add each image's mirrored embedding, as is usual for these protocols; ``None``: yes.
        fmrs: target false match rates; ``None``: the protocol's.
        bootstrap: draws of identities for the intervals; 0: none.
        seed: decides masks and draws.
        device: ``auto``, ``cpu`` or ``cuda``.
        progress: show bars.
        out: folder to write ``report.json`` and pictures to; an older evaluation there is replaced. ``None``: nothing
            is written. :func:`autofr.tracking.evaluations.log_evaluation` logs such a folder to MLflow.

    Returns:
        The report: what ``report.json`` holds (docs/evaluation.md).

    Raises:
        AutofrError: bad input; nothing has been written then.
    """
    _check(masked, fmrs, bootstrap, seed, out)
    display = Display(progress)
    folder = None if data is None else Path(data)
    rules = create_protocol(protocol, folder, pairs, attributes)
    place = pick_device(device)
    if str(model).endswith(".npy"):
        if masked not in (None, "no") or landmarks is not None:
            raise AutofrError(
                "--masked and --landmarks are for images; embeddings of masked images are a file of their own"
            )
        if landmark_scheme is not None or flip is not None:
            raise AutofrError("--landmark-scheme and --flip are for images, not for stored embeddings")
        if labels is not None and data is not None:
            raise AutofrError("--labels and --data both say what the embeddings are of; give one of them")
        subject = _stored(Path(model), folder, labels, rules, place, display)
    else:
        if labels is not None:
            raise AutofrError(
                "--labels goes with embeddings, an array in a .npy file; images are labelled by their folders"
            )
        if folder is None:
            raise AutofrError("--data is needed: a folder with one sub-folder an identity, a .bin file, or an IJB set")
        network = load_model(model, place)
        faces, hung = _faces(folder, rules, landmarks, landmark_scheme, masked, display)
        wanted = masked or ("probe" if faces.anchors is not None else "no")
        rules.prepare(faces.names, faces.labels, wanted != "no")
        if wanted != "no" and not rules.renders:
            if masked is not None:
                raise AutofrError(
                    f"masks are really worn there (column 'masked'): --masked {masked} has none to render"
                )
            wanted = "no"
        with display.bar("embedding", len(faces)) as advance:
            plain, copies = embed_set(network, faces, flip is not False, None if wanted == "no" else seed, advance)
        about = {"name": network.name, **network.about, "embedding_dim": plain.shape[1]}
        masks = None if copies is None else mask_parameters(faces, seed, wanted, hung)
        places = faces.placement()
        maskable = None if places is None else places > AWAY
        embedded = Embedded(faces.labels, plain, copies, maskable, wanted, place)
        subject = _Subject(about, list(faces.names), embedded, masks, faces)
    report = _measured(subject, rules, folder, flip, fmrs, bootstrap, seed, display)
    if out is not None:
        evaluation = Evaluation(report, subject.faces, seed)
        evaluation.write(Path(out))
    return report


@dataclass(frozen=True)
class _Subject:
    """What is evaluated: who made the embeddings, and of what."""

    about: dict[str, Any]
    names: list[str]
    embedded: Embedded
    masks: dict[str, Any] | None
    faces: Faces | None


def _check(
    masked: str | None,
    fmrs: Sequence[float] | None,
    bootstrap: int,
    seed: int,
    out: str | Path | None,
) -> None:
    for name, value in (("seed", seed), ("bootstrap", bootstrap)):
        if value < 0:
            raise AutofrError(f"--{name} is 0 or more, got {value}")
    if masked is not None and masked not in MASKED:
        raise AutofrError(f"--masked is {', '.join(MASKED)}, got '{masked}'")
    if fmrs is not None and (not fmrs or not all(0 < f < 1 for f in fmrs) or len(set(fmrs)) < len(fmrs)):
        raise AutofrError(f"false match rates lie between 0 and 1, each given once, got {', '.join(map(str, fmrs))}")
    if out is not None:
        EVALUATION.check(Path(out))


def _faces(
    data: Path,
    rules: Protocol,
    landmarks: str | Path | None,
    scheme: str | None,
    masked: str | None,
    display: Display,
) -> tuple[Faces, str]:
    """The images, and what masks hang on."""
    template = str(landmarks) == TEMPLATE_LANDMARKS
    if masked == "no" and landmarks is not None:
        raise AutofrError("--landmarks are for masks, and --masked no renders none")
    if not data.exists():
        raise AutofrError(f"no such file or folder {data}; --data takes {rules.needs}")
    faces = rules.load(data, None if template else landmarks, scheme, display.bar)
    if masked == "no":
        faces = replace(faces, landmarks=None)
    elif template or (faces.landmarks is None and masked is not None and rules.template_masks):
        five = torch.from_numpy(TEMPLATE * (faces.image_size / SIZE)).float()
        faces = replace(faces, landmarks=five.expand(len(faces), 5, 2), scheme="points5")
        kept = tuple(note for note in faces.notes if note.concern is not Concern.MASKS)
        return replace(faces, notes=kept), TEMPLATE_LANDMARKS
    elif faces.landmarks is None and masked is not None:
        raise AutofrError(
            f"--masked {masked} needs landmarks: name a file, or take --landmarks template for faces aligned to the "
            "ArcFace template"
        )
    return faces, faces.scheme or "by number"


def _stored(
    path: Path,
    data: Path | None,
    labels: str | Path | None,
    rules: Protocol,
    device: torch.device,
    display: Display,
) -> _Subject:
    """Embeddings from a file, with the names of their rows."""
    vectors = read_embeddings(path)
    if labels is None and data is None:
        raise AutofrError(f"{path} needs --labels, a label a row, or --data, the folder whose images it embeds")
    if labels is not None and not rules.labelled:
        raise AutofrError(f"protocol {rules.name} knows what its rows are; leave --labels out and give --data")
    names, numbers = read_labels(Path(labels)) if labels is not None else rules.rows_of(Path(str(data)), display.bar)
    if len(names) != len(vectors):
        raise AutofrError(f"{labels or data} has {len(names)} rows, {path} has {len(vectors)} embeddings")
    rules.prepare(names, numbers, False)
    about = {"name": path.stem, "kind": "embeddings", "source": str(path), "embedding_dim": vectors.shape[1]}
    return _Subject(about, names, Embedded(numbers, vectors, device=device), None, None)


def _measured(
    subject: _Subject,
    rules: Protocol,
    data: Path | None,
    flip: bool | None,
    fmrs: Sequence[float] | None,
    bootstrap: int,
    seed: int,
    display: Display,
) -> dict[str, Any]:
    embedded = subject.embedded
    for vectors in (embedded.plain, embedded.masked):
        if vectors is not None:
            check_vectors(vectors, subject.names, subject.about["name"])
    results: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    rows = rules.rows(embedded, fmrs)
    with display.bar("comparing", len(rows)) as advance:
        for row in rows:
            results[row.name], told = _row(row, subject.names, bootstrap, seed)
            notes += told
            advance(1)
    if not any(entry["genuine"] and entry["impostor"] for entry in results.values()):
        raise AutofrError("no row has a genuine and an impostor pair: " + "; ".join(notes))
    by_row = {
        name: {rate["fmr"]: math.nan if rate["fnmr"] is None else rate["fnmr"] for rate in entry["rates"]}
        for name, entry in results.items()
    }
    concerns = {Concern.DATA} if embedded.masked is None else {Concern.DATA, Concern.MASKS}
    seen = () if subject.faces is None else [note.text for note in subject.faces.notes if note.concern in concerns]
    benchmark = {
        "protocol": rules.name,
        **rules.about(),
        "shown": rules.shown,
        "data": None if data is None else data.resolve().name,
        "images": len(subject.names),
        "identities": int(embedded.labels.max()) + 1 if rules.known_identities else None,
    }
    benchmark["fingerprint"] = _fingerprint(benchmark, subject)
    return {
        "version": VERSION,
        "model": subject.about,
        "benchmark": benchmark,
        "flip": None if subject.faces is None else flip is not False,
        "masks": subject.masks,
        "bootstrap": {"draws": bootstrap, "seed": seed},
        "results": results,
        "summary": {k: None if math.isnan(v) else v for k, v in rules.summary(by_row).items()},
        "notes": [*seen, *rules.notes(), *dict.fromkeys(notes)],
    }


def _row(row: Row, names: Sequence[str], bootstrap: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    comparisons = row.make()
    errors = measure(comparisons, row.fmrs, tail=bootstrap > 0)
    bounds = {}
    if bootstrap and row.identities is not None:
        bounds = intervals(comparisons, errors, row.identities, bootstrap, seed)
    more = row.more() if row.more is not None and errors.genuine and errors.impostors else {}
    notes = []
    if not errors.genuine or not errors.impostors:
        notes.append(f"{row.name}: no {'genuine' if not errors.genuine else 'impostor'} pair")
    else:
        for rate in errors.rates:
            if math.isnan(rate.fnmr):
                needed = math.ceil(1 / rate.fmr)
                notes.append(
                    f"FMR {rate.fmr:g} needs {needed} impostor pairs, {row.name} has {errors.impostors}: not measurable"
                )
            elif rate.fmr in bounds and math.isnan(bounds[rate.fmr][0]):
                notes.append(f"{row.name}: no interval at FMR {rate.fmr:g}: a draw of identities does not reach it")
    return report_row(comparisons, errors, bounds, row, names) | more, notes


def _fingerprint(benchmark: dict[str, Any], subject: _Subject) -> str:
    """A hash of what was compared, masks aside: models can be set side by side where it is the same."""
    digest = hashlib.sha256(json.dumps(benchmark, sort_keys=True).encode())
    digest.update("\n".join(subject.names).encode(errors="surrogateescape"))
    digest.update(subject.embedded.labels.numpy().tobytes())
    return digest.hexdigest()[:16]
