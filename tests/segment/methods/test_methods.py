"""A new method is one file, one line in METHODS, one entry in a config, one test: counted on those that are there."""

import ast
import sys
from pathlib import Path

import pytest

from pipelines.experiment.config_file import read_config_file
from segment.methods import METHODS
from segment.networks.discriminators.output_discriminator import OutputDiscriminator

ROOT = Path(__file__).parents[3]
ADAPTING = sorted(name for name in METHODS if name != "supervised")
OTHERS_CODE = ROOT / "pipelines/pretrained"
"""Names the codes of papers whose checkpoints it reads, and some are called as their method."""
SOURCES = sorted(
    path
    for room in ("segment", "translate", "pipelines")
    for path in (ROOT / room).rglob("*.py")
    if OTHERS_CODE not in path.parents
)


def spoken_of(path):
    """Every name, and every text but docstrings, that a file's code holds."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from node.module.split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 40:
            yield node.value


def test_who_has_its_maps_judged_says_what_crops_are_too_small():
    """A config is refused by it; the discriminator would say so in the first step."""
    judged = {name for name, method in METHODS.items() if "OutputDiscriminator" in vars(sys.modules[method.__module__])}
    assert judged == {"adaptsegnet", "ass", "clan"}
    needed = {name: method.smallest_crop for name, method in METHODS.items()}
    assert needed == {name: OutputDiscriminator.smallest_side if name in judged else 1 for name in METHODS}


@pytest.mark.parametrize("name", ADAPTING)
def test_a_method_is_one_file_and_one_line(name):
    """Whoever adds the next one must not have to look for places where methods are told apart."""
    method = METHODS[name]
    words = {name, method.__name__, method.Settings.__name__}
    files = {path.relative_to(ROOT).as_posix() for path in SOURCES if words & set(spoken_of(path))}
    assert files == {f"segment/methods/{name}.py", "segment/methods/__init__.py"}, (
        f"{name} is known to other files too; let them ask the method (a class attribute) or METHODS"
    )
    lines = (ROOT / "segment/methods/__init__.py").read_text(encoding="utf-8").splitlines()
    assert sum(f'"{name}"' in line for line in lines) == 1


@pytest.mark.parametrize("name", ADAPTING)
def test_a_method_has_a_test_of_its_name_and_a_place_in_a_bundled_config(name):
    assert (ROOT / f"tests/segment/methods/test_{name}.py").is_file()
    used = set()
    for path in (ROOT / "pipelines/configs").glob("*.toml"):
        content = read_config_file(path)
        used.add(content.get("segmenter", {}).get("adaptation", {}).get("method"))
        for variant in content.get("variant", []):
            used.add(variant.get("settings", {}).get("segmenter.adaptation", {}).get("method"))
    assert name in used


@pytest.mark.parametrize("name", ADAPTING)
def test_a_method_says_what_it_is(name):
    method = METHODS[name]
    assert method.learns_from != "labelled" and method.title.lower() == name
    assert method.Settings() == method.Settings(), "every knob has a default, the paper's"
