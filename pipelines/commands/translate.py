"""`sim2real translate`: stage one."""

import click

from pipelines.commands.frame_by_frame import complain
from pipelines.commands.options import Request, on_experiment, seed_option, training_options
from pipelines.commands.quality import translate_audit, translate_quality
from pipelines.commands.stream import translate_stream
from pipelines.commands.translate_run import translate_run


@click.group()
def translate() -> None:
    """Stage one: train a translator; translate folders of images."""


@translate.command("train")
@on_experiment(seed_option, training_options)
def translate_train(request: Request) -> None:
    """Train an experiment's translator, or carry on where it stopped. Under torchrun, on several GPUs or machines."""
    from pipelines.stages.training.train_translator import train_translator

    folder = train_translator(request.workspace, request.seed, request.session)
    if request.session.machine.processes.leads:
        click.echo(f"translator in {folder}")


@translate.command("experiment")
@on_experiment(seed_option, training_options)
def translate_experiment_command(request: Request) -> None:
    """Translate an experiment's labelled source frames with its trained translator."""
    from pipelines.stages.translating.translate_experiment import translate_experiment

    summary = translate_experiment(request.workspace, request.seed, request.session)
    click.echo(summary.count_line)
    complain(summary, request.workspace.translated(request.seed))


for command in (translate_run, translate_stream, translate_audit, translate_quality):
    translate.add_command(command)
