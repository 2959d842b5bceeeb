"""Where the numbers of a record come from: the command, the machine, the versions, the day, the validation frames."""

import datetime
from typing import Any

from pipelines.engine.launch import describe_machine
from pipelines.engine.runs import environment
from pipelines.engine.session import Session
from pipelines.experiment.workspace import Workspace
from pipelines.stages.evaluation.evaluation_counts import labelled_drives
from segment.metrics.resampling import units_of


def origin(workspace: Workspace, session: Session) -> dict[str, Any]:
    """The fields of a `Record` that say so, by name; its `settings` are for the caller to add."""
    facts = environment(session.machine)
    return {
        "name": workspace.experiment.name,
        "command": session.command,
        "date": datetime.date.today().isoformat(),
        "machine": describe_machine(session.machine),
        "versions": {"python": facts["python"], **facts["packages"]},
        "validation": ", ".join(f"{one.name} ({len(one.only_labelled())} frames)" for one in workspace.validation),
        "unusable": workspace.sets.unusable,
        "interval_over": units_of(labelled_drives(workspace.validation)).title,
    }
