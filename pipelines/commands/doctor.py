"""`sim2real doctor`: what this machine has, can do, and lacks."""

from pathlib import Path

import click

from pipelines.commands.machine import MachineOptions, open_machine
from pipelines.commands.options import A_FOLDER, gathered


@click.command("doctor")
@click.option(
    "--place",
    type=A_FOLDER,
    default=Path("runs"),
    show_default=True,
    help="Where runs are to be written: is there room?",
)
@gathered(
    "on",
    MachineOptions,
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …"),
)
def doctor(place: Path, on: MachineOptions) -> None:
    """Say what this machine has and can do: versions, processor, device, image formats, disk, extras, speed.

    One short forward pass is measured and set beside the README's figure. What is amiss is marked, with its remedy;
    then the exit code is that of the first problem.
    """
    from pipelines.stages.inspection.doctor import examine, refuse_problems

    findings = []
    for finding in examine(open_machine(on.device, "auto", None), place):
        findings.append(finding)
        for line in finding.lines:
            click.echo(line)
    refuse_problems(findings)
