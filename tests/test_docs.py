"""What the documentation shows, run."""

import importlib
import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import autofr
from autofr import AutofrError, load_space
from autofr.backbones import BACKBONES, create_backbone
from autofr.backbones.costs import params
from autofr.cli import main
from autofr.data import Faces
from autofr.space.budget import check_architectures, within_budget
from tests.paths import REPOSITORY

DOCS = REPOSITORY / "docs"


def spaces_in(page: str) -> list[str]:
    """The Python blocks of a page that are whole space files."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    return [block for block in blocks if block.startswith('"""') and "space = " in block]


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("autofr.backbones.BACKBONES", dict(BACKBONES))  # what it registers is gone afterwards
    (own,) = [block for block in spaces_in("backbones.md") if "register" in block]
    path = tmp_path / "mine.py"
    path.write_text(own)
    return path


@pytest.mark.search
def test_every_space_of_the_page_on_backbones_can_be_searched(tmp_path: Path, own_file: Path) -> None:
    blocks = spaces_in("backbones.md")
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "shown.py").write_text(block)
        space = load_space(str(tmp_path / "shown.py"))
        check_architectures(space, "ir_mini", 64, 32)
        within_budget(space, "ir_mini", 64, 32)


@pytest.mark.search
def test_an_elastic_network_of_ones_own_takes_thirty_lines(
    own_file: Path, tiny_faces: Faces, tiny: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = [line for line in own_file.read_text().splitlines() if line.strip()]
    assert len(code) <= 30
    settings = {k: v for k, v in tiny.items() if k != "backbone"}
    result = autofr.search(own_file, tiny_faces, run_dir=tmp_path / "run", **settings)
    assert len({name for record in result.records for name in record.networks}) > 1
    counts = {params(name, 32, 16) for record in result.records for name in record.networks}
    every = {params(plain(name), 32, 16) for name in ("depth=2,width=32,kernel=5", "depth=1,width=16,kernel=3")}
    assert max(counts) <= 120_000 < max(every)
    assert autofr.load_embedder(result.checkpoint).config["backbone"].startswith("plainnet:depth=")
    del autofr.backbones.BACKBONES["plainnet"]
    with pytest.raises(AutofrError, match=r"unknown backbone 'plainnet:.*has to be registered first"):
        autofr.load_embedder(result.checkpoint)
    assert main(["pick", str(tmp_path / "run"), "--prefer", "fast"]) == 2
    assert "registered first" in capsys.readouterr().err
    assert main(["pick", str(tmp_path / "run"), "--prefer", "fast", "--space", str(own_file)]) == 0
    told = autofr.load_embedder(result.checkpoint).config["backbone"]
    assert f"the network in model/: {told}, of generation" in capsys.readouterr().out


def test_an_installed_package_brings_its_networks(monkeypatch: pytest.MonkeyPatch, own_file: Path) -> None:
    """By an entry point: nobody has to register them."""
    load_space(str(own_file))
    maker = BACKBONES.get("plainnet") or autofr.backbones.BACKBONES["plainnet"]
    del autofr.backbones.BACKBONES["plainnet"]
    point = SimpleNamespace(name="plainnet", load=lambda: maker)
    found = {"group": []}

    def entry_points(group: str) -> list[Any]:
        found["group"].append(group)
        return [point] if group == "autofr.backbones" else []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert create_backbone("plainnet:width=16", 32, 8).state_dict()["3.2.weight"].shape == (8, 32)
    assert found["group"] == ["autofr.backbones"]


def plain(settings: str) -> str:
    return f"plainnet:{settings}"


def test_a_name_cannot_be_registered_over_autofr() -> None:
    for name in ("ir18", "iresnet", "timm/x", "a b", ""):
        with pytest.raises(AutofrError, match="cannot be registered"):
            autofr.backbones.register(name)


def test_the_page_on_architecture_lists_the_rooms_of_the_contract() -> None:
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    contract = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contract if each["type"] == "layers"]
    rooms = [room for layer in layers for room in re.findall(r"\w+", layer) if (REPOSITORY / "autofr" / room).is_dir()]
    page = (DOCS / "architecture.md").read_text().partition("## Rooms")[2].partition("## The life")[0]
    assert re.findall(r"`(\w+)/`", "\n".join(line for line in page.splitlines() if line.startswith("|"))) == rooms
    loose = {path.stem for path in (REPOSITORY / "autofr").glob("*.py")} - {"__init__", "__main__"}
    assert loose == {"registry", "console", "exceptions", "_version"}


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_files_that_a_page_names_exist(page: str) -> None:
    """Tests and modules that moved are named where they are now."""
    text = (DOCS / page).read_text()
    for name in re.findall(r"`((?:tests|autofr|experiments|search_spaces)/[\w/.-]+\.(?:py|csv|png|md))`", text):
        if not name.startswith("search_spaces/mine") and "/my_" not in name:
            assert (REPOSITORY / name).exists(), name
    for module in re.findall(r"`(autofr\.[a-z_.]+)`", text):
        assert importlib.util.find_spec(module) is not None or hasattr(
            importlib.import_module(module.rpartition(".")[0]), module.rpartition(".")[2]
        ), module
