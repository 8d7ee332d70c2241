"""The two tracks of the masked-face challenge, against their rows computed pair by pair."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autofr import AutofrError
from autofr.evaluation.errors import measure, measure_scores
from autofr.evaluation.protocols import Embedded, create_protocol
from autofr.evaluation.protocols.insightface_track import InsightFaceTrack
from autofr.evaluation.protocols.webface260m import WebFace260M

NAMES = [f"p{i // 4}/{i}.jpg" for i in range(48)]
LABELS = torch.arange(48) // 4
MASKED = torch.arange(48) % 4 == 0
WILD = torch.arange(48) % 2 == 0


def embedded(seed: int = 0, copies: bool = False, on: str = "probe") -> Embedded:
    generator = torch.Generator().manual_seed(seed)
    people = torch.randn(12, 5, generator=generator, dtype=torch.float64)
    plain, masked = (people[LABELS] + torch.randn(48, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    return Embedded(LABELS, plain, masked if copies else None, on=on)


def write(path: Path, **columns: list[str]) -> Path:
    rows = zip(NAMES, *columns.values(), strict=True)
    path.write_text("\n".join([",".join(["name", *columns])] + [",".join(row) for row in rows]) + "\n")
    return path


def webface_csv(path: Path, masked: bool = True) -> Path:
    columns = {"scene": ["wild" if w else "controlled" for w in WILD]}
    if masked:
        columns["masked"] = ["1" if m else "0" for m in MASKED]
    return write(path, **columns)


def by_hand(probes: torch.Tensor, gallery: torch.Tensor, left: torch.Tensor, right: torch.Tensor, once: bool) -> float:
    """FNMR at FMR 0.05 over the pairs of two subsets, listed one by one."""
    genuine, impostor = [], []
    for i in left.nonzero()[:, 0].tolist():
        for j in right.nonzero()[:, 0].tolist():
            if (i < j) if once else (i != j):
                score = torch.nn.functional.cosine_similarity(probes[i], gallery[j], dim=0)
                (genuine if LABELS[i] == LABELS[j] else impostor).append(float(score))
    both = (torch.tensor(v, dtype=torch.float64) for v in (genuine, impostor))
    return measure_scores(*both, [0.05]).fnmr[0.05]


def measured(protocol: object, faces: Embedded) -> dict[str, dict[float, float]]:
    return {row.name: measure(row.make(), row.fmrs).fnmr for row in protocol.rows(faces, [0.05])}


def test_webface_with_worn_masks(tmp_path: Path) -> None:
    protocol = WebFace260M(webface_csv(tmp_path / "a.csv"))
    protocol.prepare(NAMES, LABELS, False)
    assert not protocol.renders
    faces = embedded()
    found = measured(protocol, faces)
    assert list(found) == [f"{kind} {group}" for kind in ("SFR", "MFR") for group in ("All", "Wild", "Controlled")]
    for group, inside in (("All", torch.ones(48, dtype=torch.bool)), ("Wild", WILD), ("Controlled", ~WILD)):
        bare, worn = inside & ~MASKED, inside & MASKED
        sfr = by_hand(faces.plain, faces.plain, bare, bare, once=True)
        assert found[f"SFR {group}"][0.05] == pytest.approx(sfr, nan_ok=True)
        if group != "Controlled":  # nobody masked is under control here
            assert found[f"MFR {group}"][0.05] == by_hand(faces.plain, faces.plain, worn, bare, once=False)
    assert math.isnan(found["MFR Controlled"][0.05])
    summary = protocol.summary(found)
    assert summary["blended All"] == pytest.approx(0.25 * found["MFR All"][0.05] + 0.75 * found["SFR All"][0.05])
    assert math.isnan(summary["blended Controlled"])


@pytest.mark.parametrize("on", ["probe", "both"])
def test_webface_with_rendered_masks(on: str, tmp_path: Path) -> None:
    protocol = WebFace260M(webface_csv(tmp_path / "a.csv", masked=False))
    protocol.prepare(NAMES, LABELS, True)
    assert protocol.renders
    faces = embedded(copies=True, on=on)
    found = measured(protocol, faces)
    gallery = faces.masked if on == "both" else faces.plain
    assert found["MFR Wild"][0.05] == by_hand(faces.masked, gallery, WILD, WILD, once=on == "both")


def test_webface_without_any_masks_has_no_mfr(tmp_path: Path) -> None:
    protocol = WebFace260M(webface_csv(tmp_path / "a.csv", masked=False))
    protocol.prepare(NAMES, LABELS, False)
    assert all(name.startswith("SFR") for name in measured(protocol, embedded()))
    assert protocol.summary(measured(protocol, embedded())) == {}
    assert "MFR is not measured" in protocol.notes()[0]


def test_its_own_rates_and_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", place=["wild"] * 48, masked=["0"] * 47 + ["1"])
    protocol = create_protocol("webface260m:scene=place", tmp_path, None, path)
    protocol.prepare(NAMES, LABELS, False)
    assert {tuple(row.fmrs) for row in protocol.rows(embedded(), None)} == {(1e-5,)}


def test_insightface_track(tmp_path: Path) -> None:
    sets = ["mask" if i < 24 else "children" if i < 32 else "African" if i < 40 else "Caucasian" for i in range(48)]
    path = write(tmp_path / "a.csv", set=sets, masked=["1" if m and i < 24 else "0" for i, m in enumerate(MASKED)])
    protocol = InsightFaceTrack(path)
    protocol.prepare(NAMES, LABELS, False)
    faces = embedded()
    found = measured(protocol, faces)
    assert list(found) == ["Mask", "Children", "African", "Caucasian", "MR-All"]
    first = torch.arange(48) < 24
    assert found["Mask"][0.05] == by_hand(faces.plain, faces.plain, first & MASKED, first & ~MASKED, once=False)
    races = torch.arange(48) >= 32
    assert found["MR-All"][0.05] == by_hand(faces.plain, faces.plain, races, races, once=True)
    tar = {name: 1 - fnmr[0.05] for name, fnmr in found.items()}
    assert protocol.summary(found)["score"] == pytest.approx(0.25 * tar["Mask"] + 0.75 * tar["MR-All"])
    assert [row.fmrs for row in protocol.rows(faces, None)] == [[1e-4], [1e-4], [1e-6], [1e-6], [1e-6]]


def test_rows_that_name_no_image_are_told(tmp_path: Path) -> None:
    path = webface_csv(tmp_path / "a.csv")
    path.write_text(path.read_text() + "nobody/1.jpg,wild,0\n")
    protocol = WebFace260M(path)
    protocol.prepare(NAMES, LABELS, False)
    assert protocol.notes() == ["1 rows of a.csv name no image here (nobody/1): not used"]


def test_sets_are_known_whatever_their_case(tmp_path: Path) -> None:
    found = []
    for mask in ("mask", "Mask", "MASK"):
        sets = [mask] * 24 + ["CHILDREN"] * 8 + ["African"] * 16
        path = write(tmp_path / "a.csv", set=sets, masked=["1" if m and i < 24 else "0" for i, m in enumerate(MASKED)])
        protocol = InsightFaceTrack(path)
        protocol.prepare(NAMES, LABELS, False)
        found.append(measured(protocol, embedded()))
    assert found[0] == found[1] == found[2]
    assert list(found[0]) == ["Mask", "Children", "African", "MR-All"]


@pytest.mark.parametrize(
    ("sets", "masked", "told"),
    [
        (["mask"] * 24 + ["mr-all"] * 24, "1", "'mr-all' is no name of a set"),
        (["mask"] * 24 + ["Asian"] * 12 + ["asian"] * 12, "1", "is no name of a set"),
        (["mask"] * 24 + ["Asian"] * 24, "0", "no image of the set mask is masked"),
        (["mask"] * 24 + [""] * 24, "1", "belongs to no set"),
    ],
)
def test_sets_that_would_give_another_score(sets: list[str], masked: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", set=sets, masked=[masked if m and i < 24 else "0" for i, m in enumerate(MASKED)])
    with pytest.raises(AutofrError, match=told):
        InsightFaceTrack(path).prepare(NAMES, LABELS, False)


def test_tracks_without_pairs_are_told_before_anything_is_embedded(tmp_path: Path) -> None:
    names, labels = [f"p{i}/a.jpg" for i in range(4)], torch.arange(4)
    for column, make in (("scene", WebFace260M), ("set", InsightFaceTrack)):
        (tmp_path / "a.csv").write_text("\n".join([f"name,{column}", *(f"{n},wild" for n in names)]))
        with pytest.raises(AutofrError, match="genuine"):
            make(tmp_path / "a.csv").prepare(names, labels, True)


def test_faces_that_cannot_be_masked_are_no_masked_probes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", set=["mask"] * 24 + ["African"] * 24)
    protocol = InsightFaceTrack(path)
    protocol.prepare(NAMES, LABELS, True)
    maskable = torch.arange(48) % 3 != 0
    faces = replace(embedded(copies=True), maskable=maskable)
    first = torch.arange(48) < 24
    found = measured(protocol, faces)["Mask"][0.05]
    assert found == by_hand(faces.masked, faces.plain, first & maskable, first, once=False)
    both = replace(faces, on="both")
    expected = by_hand(faces.masked, faces.masked, first & maskable, first & maskable, once=True)
    assert measured(protocol, both)["Mask"][0.05] == expected


def test_insightface_track_renders_masks_where_none_are_worn(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", set=["mask"] * 24 + ["African"] * 24)
    protocol = InsightFaceTrack(path)
    protocol.prepare(NAMES, LABELS, True)
    faces = embedded(copies=True)
    first = torch.arange(48) < 24
    assert measured(protocol, faces)["Mask"][0.05] == by_hand(faces.masked, faces.plain, first, first, once=False)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "lacks the column name"),
        ("name,scene\n", "48 of 48 images have no row"),
        ("name,place\np0/0.jpg,wild\n", "lacks the column scene"),
        ("name,scene\np0/0.jpg,wild\np0/0.png,wild\n", "names p0/0.png twice"),
    ],
)
def test_attribute_files_that_do_not_serve(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(AutofrError, match=told):
        WebFace260M(tmp_path / "a.csv").prepare(NAMES, LABELS, False)


def test_attribute_values_that_mean_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", scene=["wild"] * 47 + ["indoors"], masked=["0"] * 48)
    with pytest.raises(AutofrError, match="wild or controlled, not 'indoors'"):
        WebFace260M(path).prepare(NAMES, LABELS, False)
    path = write(tmp_path / "a.csv", scene=["wild"] * 48, masked=["0"] * 47 + ["perhaps"])
    with pytest.raises(AutofrError, match="'perhaps', neither 1 nor 0"):
        WebFace260M(path).prepare(NAMES, LABELS, False)
    path = write(tmp_path / "a.csv", scene=["wild"] * 48, masked=["0"] * 48)
    with pytest.raises(AutofrError, match="no image is masked"):
        WebFace260M(path).prepare(NAMES, LABELS, False)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(AutofrError, match="no CSV text"):
        WebFace260M(tmp_path / "b.csv").prepare(NAMES, LABELS, False)
    with pytest.raises(AutofrError, match="no attributes file"):
        InsightFaceTrack(tmp_path / "none.csv").prepare(NAMES, LABELS, False)
    for protocol in ("webface260m", "insightface"):
        with pytest.raises(AutofrError, match="needs --attributes"):
            create_protocol(protocol, None, None, None)


def test_which_protocol_is_meant(tmp_path: Path) -> None:
    assert create_protocol(None, tmp_path, None, None).name == "all"
    assert create_protocol(None, tmp_path, tmp_path / "p.txt", None).name == "pairs"
    assert create_protocol(None, tmp_path / "a.bin", None, None).name == "bin"
    (tmp_path / "meta").mkdir()
    (tmp_path / "loose_crop").mkdir()
    assert create_protocol(None, tmp_path, None, None).name == "ijb"
    for spec, pairs, attributes, told in (
        ("al", None, None, "did you mean all"),
        ("all", tmp_path, None, "protocol all has no use for --pairs"),
        ("pairs", None, None, "--pairs pairs.txt"),
        (None, None, tmp_path, "--attributes goes with"),
        ("ijb:pool=mean", None, None, "no setting 'pool'"),
    ):
        with pytest.raises(AutofrError, match=told):
            create_protocol(spec, None, pairs, attributes)
