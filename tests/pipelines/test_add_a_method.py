"""docs/add-a-method.md is what it says: a whole method in one file, one line, one table and one test."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipelines.hangs import HANGS_S

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def blocks():
    """The page's blocks of code in their order: the file, the line, the table, the test."""
    return [code for _, code in BLOCK.findall((ROOT / "docs/add-a-method.md").read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def project(blocks, tmp_path_factory):
    """The project as it is after somebody has followed the page."""
    root = tmp_path_factory.mktemp("project")
    for name in ("segment", "translate", "pipelines", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, root / name)
    method, line, table, test = blocks
    (root / "segment/methods/bnm.py").write_text(method)
    (root / "tests/segment/methods/test_bnm.py").write_text(test)
    methods = root / "segment/methods/__init__.py"
    text = methods.read_text().replace(
        "from segment.methods.", "from segment.methods.bnm import BNM\nfrom segment.methods.", 1
    )
    methods.write_text(text.replace('    "dacs": DACS,\n', f'    "dacs": DACS,\n{line}'))
    config = root / "pipelines/configs/toyworld_adaptation.toml"
    config.write_text(f"{config.read_text()}\n{table}")
    return root


def run(project, *command):
    environment = os.environ | {"PYTHONPATH": str(project), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )


def test_the_example_is_short(blocks):
    assert len(blocks) == 4
    assert sum(bool(line.strip()) for code in blocks for line in code.splitlines()) < 60


def test_its_own_test_and_that_of_all_methods_pass(project):
    tests = ("tests/segment/methods/test_bnm.py", "tests/segment/methods/test_methods.py")
    finished = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert finished.returncode == 0, finished.stdout[-3000:]


def test_an_experiment_trains_with_it(project, tiny_config, tmp_path):
    main = ("-c", "from pipelines.cli import main; main()")
    chosen = ('segmenter.adaptation={method = "bnm"}', "segmenter.shares.translated=0", "segmenter.shares.source=1")
    finished = run(
        project, *main, "segment", "train", tiny_config, "--run", tmp_path / "run", "--workers", 0, "--threads", 1,
        *(part for setting in chosen for part in ("--set", setting)),
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert "translated by BNM" in finished.stderr
    assert "nuclear" in (tmp_path / "run/seed-0/translated_net/metrics.jsonl").read_text()
