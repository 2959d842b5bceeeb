"""The chaos matrix: hostile inputs, kills and failing disks, as many as a sceptic asks for; `make test-chaos` runs all.

Every case is a test. Of each area (a file here) `make test` runs every SAMPLED_EVERY-th one; the others bear the mark
`chaos`, and are left out unless -m speaks of it. At the end of a run of all, a table: area, cases, passed.
"""

import re
from collections import Counter

import pytest

from tests.pipelines.conftest import commands, copied_run, cpu, narrow_network, syncing, tiny_config, tiny_run

__all__ = ["commands", "copied_run", "cpu", "narrow_network", "syncing", "tiny_config", "tiny_run"]

SAMPLED_EVERY = 10
AREA = re.compile(r"tests/hostile/test_(\w+)\.py")
passed, cases = Counter(), Counter()


def pytest_collection_modifyitems(config, items):
    """Mark all but a sample of each area, and leave those out that nobody asked for."""
    places, left_out, kept = Counter(), [], []
    for item in items:
        area = AREA.search(item.nodeid)
        if area is not None:
            every = getattr(item.module, "SAMPLED_EVERY", SAMPLED_EVERY)
            if places[area[1]] % every:
                item.add_marker(pytest.mark.chaos)
            places[area[1]] += 1
        unasked = area is not None and item.get_closest_marker("chaos") and "chaos" not in config.option.markexpr
        (left_out if unasked and "::" not in " ".join(config.args) else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_runtest_logreport(report):
    """Count a case where its test is done; one whose preparation fails has failed."""
    area = AREA.search(report.nodeid)
    if area is not None and (report.when == "call" or (report.when == "setup" and not report.passed)):
        cases[area[1]] += 1
        passed[area[1]] += report.passed


def pytest_terminal_summary(terminalreporter, config):
    """The table."""
    if "chaos" not in config.option.markexpr or not cases:
        return
    terminalreporter.section("chaos matrix")
    rows = [(area.replace("_", " "), cases[area], passed[area]) for area in cases]
    for area, count, good in [*rows, ("all", sum(cases.values()), sum(passed.values()))]:
        terminalreporter.write_line(f"| {area:<16} | {count:>5} | {good:>6} |")


@pytest.fixture(scope="module")
def chosen(request):
    """Parameters of this file's tests that will run: what is prepared for all at once is prepared for these alone."""
    own = [item for item in request.session.items if item.module is request.module and hasattr(item, "callspec")]
    return {value for item in own for value in item.callspec.params.values() if isinstance(value, str)}
