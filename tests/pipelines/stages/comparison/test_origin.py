"""Every record says in the same words where its numbers come from."""

import datetime

import torch

from pipelines.engine.session import Session
from pipelines.report.record import Record
from pipelines.stages.comparison.origin import origin


def test_a_record_is_made_of_it(make_workspace, cpu):
    record = Record(**origin(make_workspace(), Session(cpu, command="sim2real compare x")), settings={})
    assert (record.name, record.command) == ("tiny", "sim2real compare x")
    assert record.date == datetime.date.today().isoformat() and record.machine.endswith("1 thread, fp32")
    assert torch.__version__.startswith(record.versions["torch"]) and record.versions["python"].startswith("3.")
    assert record.validation == "camera_val (4 frames)" and record.interval_over == "4 frames"
