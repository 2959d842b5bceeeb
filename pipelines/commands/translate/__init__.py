"""`sim2real translate`: stage one."""

import click

from pipelines.commands.frame_by_frame import complain
from pipelines.commands.options import first_steps_option, seed_option, training_options, training_preview_option
from pipelines.commands.rehearsal import rehearse, say_what_would_be_trained
from pipelines.commands.request import Request, on_experiment
from pipelines.commands.stream import translate_stream
from pipelines.commands.translate.quality import translate_audit, translate_quality
from pipelines.commands.translate.run import translate_run


@click.group()
def translate() -> None:
    """Stage one: train a translator; translate folders of images."""


@translate.command("train")
@on_experiment(seed_option, training_options, first_steps_option)
def translate_train(request: Request, dry_run: bool) -> None:
    """Train an experiment's translator, or carry on where it stopped. Under torchrun, on several GPUs or machines."""
    if dry_run:
        rehearse(request)
        return
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


@translate.command("distill")
@click.option("--sequence", is_flag=True, help="Frames are a video in name order: also measure flicker.")
@click.option("--segmenters", is_flag=True, help="Also train the segmenter on the frames of each, and evaluate it.")
@click.option(
    "--real-to-sim",
    is_flag=True,
    help="Also train a student of the way back, and evaluate the source-only segmenter behind it.",
)
@on_experiment(seed_option, training_options, training_preview_option)
def translate_distill(request: Request, sequence: bool, segmenters: bool, real_to_sim: bool, dry_run: bool) -> None:
    """Train an experiment's light student, the table [student], and hold it beside its teacher, the translator.

    Whatever is missing is made: the translator, its frames, the student, its frames, the audits of both. The table, and
    a page with pictures of both, lie in RUN/student/seed-N.
    """
    if dry_run:
        from pipelines.experiment.training_preview import trainings_of_distillation

        if real_to_sim:
            from pipelines.stages.comparison.real_to_sim import refuse_one_way

            refuse_one_way(request.workspace)
        trainings = trainings_of_distillation(request.workspace, request.seed, segmenters, real_to_sim)
        return say_what_would_be_trained(request, trainings, scored=segmenters)
    from pipelines.report.student import markdown_table
    from pipelines.stages.comparison.distill import PAGE, Wanted, distill, folder_of_study

    study = distill(request.workspace, request.seed, request.session, Wanted(sequence, segmenters, real_to_sim))
    click.echo(markdown_table(study))
    click.echo(f"page: {folder_of_study(request.workspace, request.seed) / PAGE}")


for command in (translate_run, translate_stream, translate_audit, translate_quality):
    translate.add_command(command)
