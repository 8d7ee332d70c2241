import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from autofr import AutofrError, Choice, Range, SearchSpace, load_space
from autofr.backbones.costs import flops
from autofr.losses import ArcFace, ElasticFace, LFSSoftmax
from autofr.space.load import available_spaces
from tests.paths import REPOSITORY

GOOD = (
    "from autofr import Choice, SearchSpace\nfrom autofr.losses import ArcFace\nspace = SearchSpace(loss=Choice({}))\n"
)


def test_the_shipped_space_is_mans_pool() -> None:
    names = load_space("arcface_margins").dimensions["loss"].names
    assert names == tuple(f"ArcFace(m={m:g})" for m in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45))


def test_where_spaces_are_looked_for_and_in_which_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(load_space("arcface_margins").dimensions["loss"]) == 9  # the shipped one, from anywhere
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "arcface_margins.py").write_text(GOOD.format("ArcFace(0.1)"))
    (tmp_path / "search_spaces" / "mine.py").write_text('"""My own."""\n' + GOOD.format("ArcFace(0.2), ArcFace(0.3)"))
    assert len(load_space("arcface_margins").dimensions["loss"]) == 1  # the local one wins
    assert load_space("mine").doc == "My own."
    assert available_spaces()["arcface_margins"] == ("./search_spaces", "(no docstring)")
    assert available_spaces()["mine"] == ("./search_spaces", "My own.")
    (tmp_path / "elsewhere.py").write_text(GOOD.format("ArcFace(0.4)"))
    assert load_space(str(tmp_path / "elsewhere.py")).dimensions["loss"].names == ("ArcFace(m=0.4)",)


def test_entry_points_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real installed distribution: metadata and a module on the path."""
    (tmp_path / "their_spaces.py").write_text(GOOD.format("ArcFace(0.15)"))
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autofr.search_spaces]\ntheirs = their_spaces:space\nbad = nowhere:space\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_space("theirs").dimensions["loss"].names == ("ArcFace(m=0.15)",)
    assert available_spaces()["theirs"] == ("entry point", "their_spaces:space")
    with pytest.raises(AutofrError, match="entry point 'bad' raised ModuleNotFoundError"):
        load_space("bad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "raised SystemExit"),
        ("def broken(", "raised SyntaxError"),
        ("x = 1", "defines no SearchSpace"),
        (GOOD.format(""), "no options"),
        (GOOD.format("m for m in ()"), "no options"),
        (GOOD.format("ArcFace(0.1), ArcFace(0.1)"), r"duplicate options: ArcFace\(m=0.1\)"),
        ("from autofr import Choice, SearchSpace\nspace = SearchSpace(los=Choice(1))", "unknown dimension 'los'.*loss"),
        ("from autofr import SearchSpace\nspace = SearchSpace(loss=[1])", "wrap its options in Choice"),
        ("from autofr import Choice, SearchSpace\nspace = SearchSpace(backbone=Choice('a'))", "needs a 'loss'"),
    ],
)
def test_a_broken_space_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(AutofrError, match=message) as caught:
        load_space(str(path))
    assert str(path) in str(caught.value)
    assert os.linesep not in str(caught.value)


def test_unknown_names_are_told_the_near_ones(tmp_path: Path) -> None:
    with pytest.raises(AutofrError, match="unknown space 'arcface_margin'; did you mean arcface_margins"):
        load_space("arcface_margin")
    with pytest.raises(AutofrError, match="no space file"):
        load_space(str(tmp_path / "none.py"))


def test_describe_and_option() -> None:
    space = SearchSpace(loss=Choice(ArcFace(0.1), ArcFace(0.2)), backbone=Choice("ir_mini", "ir18"))
    assert space.describe({"loss": 1, "backbone": 0}) == {"loss": "ArcFace(m=0.2)", "backbone": "ir_mini"}
    assert space.option("loss", {"loss": 1}).m == 0.2
    assert list(space) == ["loss", "backbone"]


def test_the_space_file_in_the_docs_runs(tmp_path: Path) -> None:
    """docs/spaces.md shows a user's own file in under 15 lines; exactly that text is run here."""
    page = (REPOSITORY / "docs" / "spaces.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) < 15
    (tmp_path / "mine.py").write_text(code)
    space = load_space(str(tmp_path / "mine.py"))
    assert len(space.dimensions["loss"]) > 2
    assert space.doc


def test_listing_spaces_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "train.py").write_text("raise SystemExit('executed')")
    (tmp_path / "search_spaces" / "torn.py").write_text("def broken(")
    found = available_spaces()
    assert found["train"] == ("./search_spaces", "(no docstring)")
    assert found["torn"][1].startswith("broken: ")


def test_every_python_example_of_the_docs_that_defines_a_space_loads(tmp_path: Path) -> None:
    root, examples = REPOSITORY, []
    for page in ("README.md", "docs/spaces.md"):
        examples += [block.split("```")[0] for block in (root / page).read_text().split("```python\n")[1:]]
    spaces = [code for code in examples if "space = SearchSpace(" in code]
    assert len(spaces) == 5
    for number, code in enumerate(spaces):
        (tmp_path / f"s{number}.py").write_text(code)
        loss = load_space(str(tmp_path / f"s{number}.py")).dimensions["loss"].options[-1]
        loss.s = 16.0
        cosines = torch.tensor([[0.5, -0.2], [0.1, 0.3]], requires_grad=True)
        loss(cosines, torch.tensor([0, 1])).backward()
        assert cosines.grad.isfinite().all()


SHIPPED = {"arcface_margins": 9, "arcface_range": 10, "cosface_margins": 9, "lfs_softmax": 9, "margin_family": 15}
SHIPPED |= {"elastic_iresnet": 3, "elastic_mobile": 3, "margins_x_backbones": 3, "timm_small": 3}


def test_the_shipped_spaces_load_and_say_what_they_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(available_spaces()) == set(SHIPPED)
    for name, options in SHIPPED.items():
        space = load_space(name)
        assert len(space.dimensions["loss"]) == options
        assert len(space.doc.splitlines()[0]) > 40


@pytest.mark.slow
def test_the_shipped_elastic_spaces_cost_what_their_files_say() -> None:
    iresnet, mobile = load_space("elastic_iresnet"), load_space("elastic_mobile")
    costs = [flops(iresnet.network(architecture), 64, 128) / 1e6 for architecture in iresnet.architectures()]
    assert (len(costs), round(min(costs)), round(max(costs))) == (36, 8, 226)
    assert "36 networks" in iresnet.doc
    assert "from 8 to" in iresnet.doc
    assert "226 million" in iresnet.doc
    plain = mobile.network(
        [len(mobile.dimensions[name]) - 1 if name != "kernel" else 0 for name in mobile.architecture]
    )
    assert round(flops(plain, 112, 128) / 1e6) == 442
    assert "442 million" in mobile.doc


def test_a_range_means_any_number_between_its_bounds() -> None:
    margin = Range(ArcFace, bins=4, m=(0.1, 0.5))
    assert margin.names[1] == "ArcFace(m=0.2..0.3)"
    assert [margin.index(v) for v in (0.1, 0.199, 0.2, 0.45, 0.5)] == [0, 0, 1, 3, 3]
    rng = np.random.default_rng(0)
    drawn = [margin.draw(2, rng) for _ in range(200)]
    assert 0.3 <= min(drawn) < 0.31
    assert 0.39 < max(drawn) <= 0.4
    assert margin.name(0.123456) == "ArcFace(m=0.1235)"
    pool = [ArcFace(0.1, 24)]
    assert str(margin.pick(pool, 0.25)) == "ArcFace(m=0.25, s=24)"
    for value in (0.6, None, "0.2", True):
        with pytest.raises(ValueError, match="no valid option from"):
            margin.index(value)


def test_a_range_s_names_tell_all_settings_and_its_ends_can_be_named() -> None:
    elastic = [Range(lambda m, k=k: ElasticFace(m, kind=k, s=16), m=(0.1, 0.4)).names for k in ("arc", "cos")]
    assert elastic[0][0] == "ElasticFace(m=0.1..0.13, s=16, kind=arc, sigma=0.05)"
    assert set(elastic[0]).isdisjoint(elastic[1])
    assert Range(ArcFace, m=(0, math.pi / 2)).name(math.pi / 2) == "ArcFace(m=1.571)"
    space = SearchSpace(loss=Range(ArcFace, m=(0.1, 0.4)))
    first, second = (space.option("loss", {"loss": m}) for m in (0.1, 0.3))
    assert (first.m, second.m) == (0.1, 0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Range(ArcFace), "one parameter with its bounds, e.g. Range(ArcFace, m=(0.05, 0.5))"),
        (lambda: Range(ArcFace, m=(0.1, 0.2), s=(8, 64)), "one parameter with its bounds"),
        (lambda: Range(ArcFace, m=(0.5, 0.1)), "from a lower to a higher finite bound"),
        (lambda: Range(LFSSoftmax, a=(-math.inf, 0)), "finite bound"),
        (lambda: Range(ArcFace, m=0.5), "bounds are two numbers, (low, high), got 0.5"),
        (lambda: Range(ArcFace, m=(0.1, "b")), "bounds are two numbers"),
        (lambda: Range(ArcFace, bins=0, m=(0.1, 0.5)), "bins is a whole number, 1 or more, got 0"),
        (lambda: Range(ArcFace, bins=2.5, m=(0.1, 0.5)), "bins is a whole number, 1 or more, got 2.5"),
        (lambda: Range(ArcFace, m=(0.3, 0.30001)), "too narrow for 10 bins"),
        (lambda: Range(ArcFace, m=(0.1, 9)), "ArcFace's margin m is an angle"),
        (lambda: Range(ArcFace, margin=(0.1, 0.2)), "unexpected keyword argument 'margin'"),
        (lambda: Range(lambda margin: ArcFace(margin), margin=(0.1, 0.2)), "keeps no attribute 'margin'"),
        (lambda: SearchSpace(loss=Choice(ArcFace()), backbone=Range(ArcFace, m=(0.1, 0.2))), "only a loss"),
    ],
)
def test_a_bad_range_is_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AutofrError) as error:
        make()
    assert message in str(error.value)
