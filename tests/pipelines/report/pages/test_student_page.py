"""The page of a student and its teacher: three pictures a frame, the table, hostile names."""

import numpy as np

from pipelines.report.pages.student_page import Beside, render_student, write_student_page
from pipelines.report.student import SPEED, Measure, StudentStudy

HOSTILE = "<script>alert(1)</script>"
STUDY = StudentStudy(
    HOSTILE, f"sim2real {HOSTILE}", "2026-11-28", "a machine", {"torch": "2"}, "val", {}, seed=0, frames=2,
    expert="oracle", measures=[Measure(SPEED, "higher", {"teacher": 1.0, "student": 25.0})],
)  # fmt: skip


def picture(name):
    return Beside(name, *(np.full((4, 6, 3), value, np.uint8) for value in (0, 100, 200)))


def test_pictures_lie_beside_each_other_and_names_are_text():
    page = render_student(STUDY, [picture("town/1"), picture(HOSTILE)])
    assert page.count("<img") == 6 and "network is 25.0 times as fast" in page
    assert HOSTILE not in page and "&lt;script&gt;alert(1)" in page
    alts = [part.split('"')[0] for part in page.split('alt="')[1:4]]
    assert [alt.split()[0] for alt in alts] == ["Source", "The", "The"] and all("town/1" in alt for alt in alts)


def test_the_page_is_written_whole(tmp_path):
    write_student_page(STUDY, [], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == render_student(STUDY, [])
