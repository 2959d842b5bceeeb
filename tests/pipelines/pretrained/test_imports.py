"""What an import is told beside the generator's file: which other files belong to it, and in which order."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.pretrained.imports import AS_IT_IS, TranslatorImport

ROOT = Path(__file__).parents[3]


def test_all_files_that_are_named_are_read_in_the_order_of_their_roles():
    told = TranslatorImport(
        reverse=Path("G_B"), discriminators=(Path("D_A"), Path("D_B")), encoder=Path("E"), clusters=Path("clusters.npy")
    )
    assert [str(path) for path in told.others] == ["G_B", "D_A", "D_B", "E", "clusters.npy"]
    assert [str(path) for path in dataclasses.replace(told, reverse=None, encoder=None).others] == [
        "D_A", "D_B", "clusters.npy"
    ]  # fmt: skip


def test_a_generator_alone_needs_no_other_file():
    assert AS_IT_IS.others == [] and AS_IT_IS.direction == "source_to_target"
    with pytest.raises(dataclasses.FrozenInstanceError):
        AS_IT_IS.labels = 19


def test_the_command_line_reads_it_without_torch():
    code = "import sys, pipelines.pretrained.imports; assert 'torch' not in sys.modules"
    finished = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
