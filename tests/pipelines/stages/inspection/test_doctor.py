"""The examination of a machine: every line is there, what is amiss is marked with its remedy and its exit code."""

import re
from pathlib import Path

import pytest

from pipelines.errors import StorageError, UserError
from pipelines.stages.inspection import doctor
from pipelines.stages.inspection.doctor import EXTRAS, Finding, Requirement, examine, refuse_problems, requirements

ROOT = Path(__file__).parents[4]


@pytest.fixture
def quick(monkeypatch):
    """One call counts: whether the figure is right is the affair of `segment.complexity`."""
    monkeypatch.setattr(doctor, "REPEATS", 1)


def test_a_machine_in_order(cpu, tmp_path, quick):
    findings = {finding.name: finding for finding in examine(cpu, tmp_path / "runs" / "new")}
    assert list(findings)[:7] == ["system", "packages", "processor", "device", "memory", "codecs", "disk"]
    assert list(findings)[-1] == "speed"
    assert [name for name, finding in findings.items() if finding.problem] == []
    assert findings["device"].text.startswith("cpu (GPUs: ")
    assert findings["disk"].text.startswith(f"{tmp_path}: ") and list(tmp_path.iterdir()) == []
    assert re.match(r"ddrnet23_slim at 256x192: [\d.]+ ms \(median of 1\), [\d.]+ ms of CPU", findings["speed"].text)
    refuse_problems(list(findings.values()))


def test_the_figure_compared_with_is_that_of_the_readme():
    text = " ".join((ROOT / "README.md").read_text().split())
    height, width = doctor.README_SIZE
    assert f"{doctor.README_MS} ms at {width}x{height} (1 thread); network alone" in text


def test_every_extra_is_explained_and_asked_for():
    listed = (ROOT / "setup.cfg").read_text().partition("[options.extras_require]")[2].partition("\n[")[0]
    assert set(re.findall(r"^(\w+) =$", listed, re.MULTILINE)) == EXTRAS.keys()


def test_requirements_of_the_installed_package():
    found = requirements()
    assert "torch" in {need.name for need in found[""]} and "openvino" in {need.name for need in found["openvino"]}


def test_nothing_is_asked_for_by_what_is_not_installed(monkeypatch):
    monkeypatch.setattr(doctor, "DISTRIBUTION", "no-such-distribution")
    assert requirements() == {}


@pytest.mark.parametrize(
    ("version", "allowed"),
    [("2.11", True), ("2.11.0+cpu", True), ("2.9.1", False), ("3.0", True), ("10.1rc1", True), ("odd", False)],
)
def test_versions_are_compared_as_numbers(version, allowed):
    assert Requirement("torch", "torch>=2.11", (2, 11)).allows(version) is allowed


def test_what_is_missing_or_too_old_is_named_with_the_command_that_mends_it(cpu, tmp_path, monkeypatch, quick):
    needs = {
        "": [Requirement("numpy", "numpy>=99", (99,)), Requirement("click", "click>=8.2", (8, 2))],
        "video": [Requirement("no-such-package", "no-such-package>=1", (1,))],
    }
    monkeypatch.setattr(doctor, "requirements", lambda: needs)
    findings = {finding.name: finding for finding in examine(cpu, tmp_path)}
    assert str(findings["packages"].problem) == "numpy>=99: run python -m pip install 'numpy>=99'"
    assert findings["[video]"].text.endswith("missing: no-such-package>=1; python -m pip install 'sim2real[video]'")
    assert findings["[video]"].problem is None  # everything but videos works
    with pytest.raises(UserError, match="numpy>=99"):
        refuse_problems(list(findings.values()))


def test_a_codec_that_lies_or_fails_is_named(cpu, tmp_path, monkeypatch, quick):
    def fails(_):
        raise RuntimeError("no library")

    monkeypatch.setitem(doctor.ENCODERS, ".bmp", fails)
    monkeypatch.setitem(doctor.ENCODERS, ".webp", lambda image: doctor.ENCODERS[".png"](255 - image))
    problem = next(finding for finding in examine(cpu, tmp_path) if finding.name == "codecs").problem
    assert str(problem).startswith(".webp (comes back otherwise); .bmp (no library): reinstall")


def test_a_disk_that_refuses_has_its_own_exit_code(cpu, tmp_path, monkeypatch, quick):
    def full(path, data):
        raise StorageError(f"{path}: cannot write: No space left on device.")

    monkeypatch.setattr(doctor, "write_atomically", full)
    findings = list(examine(cpu, tmp_path))
    with pytest.raises(StorageError, match="No space left"):
        refuse_problems(findings)


def test_a_problem_is_marked_below_its_line_and_the_others_are_counted():
    one, two = Finding("disk", "here", StorageError("full")), Finding("codecs", "png", UserError("broken"))
    assert one.lines == ["disk        here", "            PROBLEM: full"]
    assert Finding("memory", "much").lines == ["memory      much"]
    with pytest.raises(StorageError, match=r"^full; and 1 more, marked above$"):
        refuse_problems([Finding("memory", "much"), one, two])
