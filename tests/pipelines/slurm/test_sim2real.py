"""The script for SLURM, with its commands played: who is told what, and when the job queues again."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.pipelines.hangs import HANGS_S

SCRIPT = Path(__file__).parents[3] / "pipelines/slurm/sim2real.sh"
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do echo "$1" >> "$ASKED"; shift; done
worst=0
for task in 0 1; do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=2 "$@"
    code=$?
    [ $code -gt $worst ] && worst=$code
done
exit $worst
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then printf 'node7\\nnode8\\n'; else echo "$@" >> "$TOLD"; fi
"""
SIM2REAL = """#!/bin/bash
echo "$RANK $LOCAL_RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT: $*"
exit $CODE
"""


@pytest.fixture
def job(tmp_path):
    """A function: exit code of the processes, words of the command -> what ended, and what scontrol was asked for."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("sim2real", SIM2REAL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    told, asked = tmp_path / "told", tmp_path / "asked"
    told.touch()

    def run(code, *words):
        places = {"SLURM_JOB_ID": "40123", "SLURM_JOB_NODELIST": "node[7-8]", "CODE": str(code), "TOLD": str(told)}
        places |= {"ASKED": str(asked), "SLURM_CPUS_PER_TASK": "8"}
        environment = os.environ | places | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ended = subprocess.run(
            ["bash", SCRIPT, *words], env=environment, capture_output=True, text=True, timeout=HANGS_S
        )
        return ended, told.read_text().splitlines()

    return run


def test_each_task_knows_its_place_and_gets_the_command_word_by_word(job):
    """The port is 20000 and the job's number, 40123, less 2 x 20000."""
    ended, told = job(0, "segment", "train", "my config.toml")
    assert ended.returncode == 0 and told == [] and ended.stderr == ""
    assert ended.stdout.splitlines() == [
        f"{rank} {rank} of 2 at node7:20123: segment train my config.toml" for rank in (0, 1)
    ]


def test_a_job_that_was_stopped_after_saving_queues_again(job):
    ended, told = job(75, "segment", "train")
    assert told == ["requeue 40123"] and ended.returncode == 0
    assert ended.stdout.endswith("stopped after saving; queued again (restart 0)\n")


def test_the_tasks_end_each_other_and_have_their_processors(job, tmp_path):
    """srun would kill those that are leaving as well, and would give each a single processor."""
    job(0, "segment", "train")
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["--kill-on-bad-exit=0", "--wait=0", "--cpus-per-task=8"]


@pytest.mark.parametrize("code", [2, 7, 137])
def test_a_job_that_failed_does_not(job, code):
    ended, told = job(code, "segment", "train")
    assert ended.returncode == code and told == []
