"""What a student is worth beside its teacher: the same measures of both, and the table of them.

REGEN and HyPER-GAN (Pasios and Nikolaidis, 2026) say by how much theirs is faster; what it must not cost is measured
here, on the same frames and by the same networks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.printable import printable
from pipelines.report import markdown
from pipelines.report.figures import significant
from pipelines.report.record import Record

COLUMNS = ("source", "teacher", "student")


@dataclass(frozen=True)
class Measure:
    """One row: a figure of the untranslated source, the teacher and the student; None where there is no such figure."""

    name: str
    better: str
    """ "lower", "higher", "near 0" or empty."""
    values: Mapping[str, float | None]
    """By some of COLUMNS."""

    def cells(self) -> list[str]:
        """The row as text, a dash where there is no figure."""
        return [self.name, *(significant(self.values.get(column)) for column in COLUMNS), self.better]


@dataclass(frozen=True)
class StudentStudy(Record):
    """A comparison of a teacher and its student, of one seed."""

    seed: int
    frames: int
    """Translated frames that quality was measured on."""
    expert: str
    """Who says what is seen in a frame, for label consistency; empty without."""
    measures: list[Measure]

    def of(self, name: str) -> Measure | None:
        """The row of this name; None if there is none."""
        return next((measure for measure in self.measures if measure.name == name), None)

    def headline(self) -> str:
        """One sentence: by how much the student's network is faster; files come on top of both."""
        speed = self.of(SPEED)
        teacher, student = (None if speed is None else speed.values.get(name) for name in ("teacher", "student"))
        if not teacher or not student:
            return "A student beside its teacher."
        return f"The student's network is {student / teacher:.1f} times as fast as its teacher's."


SPEED = "frames/s, network alone"


def markdown_table(study: StudentStudy) -> str:
    """The table in Markdown, with what it was measured on below it."""
    rows = [["measure", *COLUMNS, "better"], *(measure.cells() for measure in study.measures)]
    seen = f"; label consistency by {study.expert}" if study.expert else ""
    said = f"{study.frames} frames, seed {study.seed}{seen}. {study.origin()}"
    return printable("\n".join([markdown.table(rows), "", said, ""]))
