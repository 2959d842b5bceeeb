"""Completion by the Tab key: the scripts are shells' own words, and what they ask for is answered without torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from tests.pipelines.hangs import HANGS_S

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("shell", "word"), [("bash", "complete -o nosort"), ("zsh", "#compdef sim2real"), ("fish", "--command sim2real")]
)
def test_the_script_asks_for_sim2real(shell, word):
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0 and word in done.stdout and "_SIM2REAL_COMPLETE" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_reads_the_script():
    script = CliRunner().invoke(cli, ["completion", "bash"]).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, timeout=HANGS_S, check=False).returncode == 0


def test_another_shell_is_refused():
    done = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert done.exit_code == 2 and "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sim2real tran", {"translate"}),
        ("sim2real runs ", {"list", "show"}),
        ("sim2real translate train x --prec", {"--precision"}),
    ],
)
def test_what_was_begun_is_completed_without_torch(typed, offered):
    code = "import sys\nfrom pipelines.cli import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split(" ")) - 1), "_SIM2REAL_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | words | {"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, timeout=HANGS_S, check=False,
    )  # fmt: skip
    assert {line.partition(",")[2] for line in done.stdout.splitlines()} == offered, done.stderr
