"""Where the numbers of a record come from: the command, the machine, the versions, the day, the validation frames."""

import datetime
from typing import Any

from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.runs import environment
from pipelines.experiment.workspace import Workspace


def origin(workspace: Workspace, machine: Machine, command: str) -> dict[str, Any]:
    """The fields of a `Record` that say so, by name; its `settings` are for the caller to add."""
    facts = environment(machine)
    return {
        "name": workspace.experiment.name,
        "command": command,
        "date": datetime.date.today().isoformat(),
        "machine": describe_machine(machine),
        "versions": {"python": facts["python"], **facts["packages"]},
        "validation": ", ".join(f"{one.name} ({len(one.only_labelled())} frames)" for one in workspace.validation),
    }
