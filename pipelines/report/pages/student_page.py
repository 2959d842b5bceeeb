"""A student beside its teacher as one HTML page: the sentence, the table, pictures of both.

Built like the report of a comparison (`page.py`): one file, everything escaped, no address fetched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.report.pages.templates import rendered, write_page
from pipelines.report.student import COLUMNS, StudentStudy


@dataclass(frozen=True)
class Beside:
    """A source frame and what teacher and student made of it, uint8 (H, W, 3) each."""

    name: str
    source: np.ndarray
    teacher: np.ndarray
    student: np.ndarray


def write_student_page(study: StudentStudy, pictures: Sequence[Beside], path: Path) -> None:
    """Write the page to `path`, in one piece or not at all; StorageError if the disk refuses it."""
    write_page(render_student(study, pictures), path)


def render_student(study: StudentStudy, pictures: Sequence[Beside]) -> str:
    """The page as HTML text."""
    return rendered("student.html", study=study, pictures=pictures, columns=COLUMNS)
