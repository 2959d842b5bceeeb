"""`sim2real segment`: stage two."""

import click

from pipelines.commands.options import first_steps_option, seed_option, training_options
from pipelines.commands.rehearsal import rehearse
from pipelines.commands.request import Request, on_experiment
from pipelines.commands.segment.bench import segment_bench
from pipelines.commands.segment.evaluate import segment_evaluate
from pipelines.commands.segment.features import segment_features
from pipelines.commands.segment.predict import segment_predict
from pipelines.commands.segment.pseudo_label import segment_pseudo_label
from pipelines.commands.segment.study import study
from pipelines.commands.stream import segment_stream
from pipelines.declared import names_in

arm_option = click.option(
    "--arm",
    type=click.Choice(names_in("pipelines.experiment.arms.ARMS")),
    default="translated",
    show_default=True,
    help="Which frames to learn from; few_labels: those of labelled_target.",
)


@click.group()
def segment() -> None:
    """Stage two: train, evaluate and use a segmenter."""


@segment.command("train")
@on_experiment(seed_option, arm_option, training_options, first_steps_option)
def segment_train(request: Request, arm: str, dry_run: bool) -> None:
    """Train one arm's segmenter, or carry on where it stopped. Under torchrun, on several GPUs or machines."""
    if dry_run:
        rehearse(request, arm)
        return
    from pipelines.stages.training.train_segmenter import train_segmenter

    folder = train_segmenter(request.workspace, request.seed, arm, request.session)
    if request.session.machine.processes.leads:
        click.echo(f"segmenter in {folder}")


segment.add_command(segment_evaluate)
segment.add_command(segment_features)
segment.add_command(segment_bench)
segment.add_command(segment_predict)
segment.add_command(segment_pseudo_label)
segment.add_command(segment_stream)
segment.add_command(study)
