"""The command line: thin. It reads options, calls one stage, and turns what went wrong into one line and an exit code.

Nothing heavy is imported at the top: `--help` must answer at once, and torch alone takes seconds.
"""

import errno
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from pipelines.errors import Interrupted, SomeInputsFailedError, StorageError, UserError

EXIT_CODES = """
Exit codes: 0 done, 2 usage or settings, 3 done but for some inputs, 4 no inputs, 5 checkpoint, 6 disk,
7 a loss is no number, 75 stopped by a signal after saving (the same command carries on), 130 Ctrl-C twice.
"""


DISK_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG,
    errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
"""What a disk or a path can be blamed for; anything else is our bug."""


def main() -> None:
    """Run the command line; every foreseeable error is one line on stderr."""
    try:
        cli(prog_name="sim2real", standalone_mode=False)
    except UserError as error:
        fail(str(error), error.exit_code)
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        help_of = error.ctx.command_path if error.ctx else "sim2real"
        fail(f"{error.format_message().rstrip('.')}; see {help_of} --help", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted; the last checkpoint is kept and the same command carries on", 130)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or "output"
        fail(f"{where}: {error.strerror}. Check the path, the disk and its permissions", StorageError.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not (remedy := remedy_for_memory(error)):
            raise
        fail(remedy, UserError.exit_code)


def remedy_for_memory(error: BaseException) -> str:
    """What to do about an error that says that memory ran out; empty for any other error."""
    message = str(error)
    if "DataLoader worker" in message:
        return (
            "a process that makes batches was killed, most likely for want of memory (in a container: of shared "
            "memory). Use --workers 0, or a smaller batch; the same command carries on"
        )
    if isinstance(error, MemoryError) or "out of memory" in message or "can't allocate memory" in message:
        return "memory ran out. Use a smaller batch, crop or height, or another --device"
    return ""


def fail(message: str, exit_code: int) -> None:
    """Say what is wrong on one line and leave."""
    kind = "stopped" if exit_code == Interrupted.exit_code else "error"
    click.echo(f"{kind}: {' '.join(message.split())}", err=True)
    sys.exit(exit_code)


# --- options that several commands share ------------------------------------------------------------------------------

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator."""

    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


A_PATH = click.Path(path_type=Path)
A_FOLDER = click.Path(file_okay=False, path_type=Path)

experiment_options = options(
    click.argument("config", type=A_PATH),
    click.option(
        "--data", type=A_FOLDER, default=Path("data"), show_default=True, help="Folder that the sets' roots start from."
    ),
    click.option("--run", type=A_FOLDER, default=None, help="Where everything is written.  [default: runs/NAME]"),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: translator.steps=200."
    ),
)
machine_options = options(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …"),
    click.option("--precision", type=click.Choice(("auto", "fp32", "bf16")), default="auto", show_default=True,
                 help="auto is bf16 on a GPU, fp32 on a CPU."),
    click.option("--threads", type=click.IntRange(1), default=None, help="CPU threads.  [default: all]"),
)  # fmt: skip
training_options = options(
    machine_options,
    click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Processes that read ahead."),
    click.option("--restart", is_flag=True, help="Set aside (rename) what was made with other settings or data."),
)
seed_option = click.option("--seed", type=click.IntRange(0), default=None, help="[default: the config's first]")
checkpoint_option = click.option(
    "--checkpoint", type=A_PATH, required=True, help="A run folder, or a checkpoints/step-N."
)


def open_workspace(config: Path, data: Path, run: Path | None, overrides: tuple[str, ...]) -> Any:
    """The experiment of a config file, with its folders."""
    from pipelines.config import read_experiment
    from pipelines.workspace import Workspace

    experiment = read_experiment(config, overrides)
    return Workspace(experiment, data, run or Path("runs") / experiment.name)


def open_machine(device: str, precision: str, threads: int | None) -> Any:
    """The machine to compute on."""
    from pipelines.engine.launch import choose_machine, use_threads

    use_threads(threads)
    return choose_machine(device, precision)


def typed_command() -> str:
    """The command line as the user typed it, for the record."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


# --- the commands -----------------------------------------------------------------------------------------------------


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sim2real")
def cli() -> None:
    """Close the gap between simulated and real driving scenes, and measure how much of it was closed."""


@cli.group()
def data() -> None:
    """Look at data sets; draw toy world."""


@data.command("check")
@experiment_options
def data_check(config: Path, data: Path, run: Path | None, overrides: tuple[str, ...]) -> None:
    """Read every frame of an experiment and say what is there and what is wrong."""
    from pipelines.data.check import check_frame_set, format_report
    from pipelines.progress import Progress

    workspace = open_workspace(config, data, run, overrides)
    bad = 0
    for part in ("source", "target", "validation"):
        for frames in getattr(workspace, part):
            with Progress(f"check {frames.name}", len(frames), "frame") as progress:
                report = check_frame_set(frames, progress=progress.reach)
            click.echo(f"[{part}] {format_report(report)}\n")
            bad += not report.ok
    if bad:
        raise SomeInputsFailedError(f"sets with problems: {bad}; they are listed above")


@data.command("toyworld")
@click.option("--output", type=A_FOLDER, required=True, help="Folder for the data set.")
@click.option(
    "--renderer",
    type=click.Choice(("game", "camera")),
    required=True,
    help="game: CARLA's layout; camera: Cityscapes'.",
)
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--size",
    type=(click.IntRange(16), click.IntRange(16)),
    default=(256, 128),
    show_default=True,
    help="Width and height.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def data_toyworld(output: Path, renderer: str, frames: int, size: tuple[int, int], seed: int) -> None:
    """Draw a toy world data set to disk."""
    from pipelines.data.toyworld import draw_toy_world
    from pipelines.progress import Progress

    with Progress(f"draw {renderer}", frames, "frame") as progress:
        draw_toy_world(output, renderer, frames, size, seed, progress=progress.reach)
    click.echo(f"{frames} frames in {output}")


@cli.group()
def config() -> None:
    """Look at experiment configs."""


@config.command("show")
@click.argument("config", type=A_PATH)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
def config_show(config: Path, overrides: tuple[str, ...]) -> None:
    """Print every setting of an experiment, defaults included, as JSON."""
    from pipelines.config import read_experiment

    click.echo(read_experiment(config, overrides).model_dump_json(indent=2))


@config.command("inputs")
@experiment_options
@seed_option
def config_inputs(config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None) -> None:
    """Write what each stage depends on to RUN/inputs, touching only files whose content changes (for make)."""
    from pipelines.stages.inputs import write_inputs

    workspace = open_workspace(config, data, run, overrides)
    write_inputs(workspace, first_seed(workspace, seed))


def first_seed(workspace: Any, seed: int | None) -> int:
    """The seed asked for, else the config's first."""
    return workspace.experiment.compare.seeds[0] if seed is None else seed


@cli.group()
def translate() -> None:
    """Stage one: train a translator; translate folders of images."""


@translate.command("train")
@experiment_options
@seed_option
@training_options
def translate_train(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Train an experiment's translator, or carry on where it stopped."""
    from pipelines.stages.train_translator import train_translator

    workspace = open_workspace(config, data, run, overrides)
    path = train_translator(
        workspace, first_seed(workspace, seed), open_machine(device, precision, threads), workers, restart
    )
    click.echo(f"translator in {path}")


@translate.command("experiment")
@experiment_options
@seed_option
@training_options
def translate_experiment_command(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Translate an experiment's labelled source frames with its trained translator."""
    from pipelines.stages.translate_experiment import translate_experiment

    workspace = open_workspace(config, data, run, overrides)
    seed = first_seed(workspace, seed)
    summary = translate_experiment(workspace, seed, open_machine(device, precision, threads), workers, restart)
    finish_translation(summary, workspace.translated(seed))


@translate.command("run")
@checkpoint_option
@click.option(
    "--input", "source", type=A_FOLDER, required=True, help="Any folder tree of images, or the root of a data set."
)
@click.option("--output", type=A_FOLDER, required=True, help="Gets the same tree, translated.")
@click.option(
    "--direction",
    type=click.Choice(("source_to_target", "target_to_source")),
    default="source_to_target",
    show_default=True,
)
@click.option(
    "--reader",
    type=click.Choice(("folder", "carla", "gta5", "synthia", "cityscapes", "camvid", "translated")),
    default="folder",
    show_default=True,
    help="Kind of data set; other than folder, label maps are carried along.",
)
@click.option(
    "--frames",
    "reader_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting of the reader: images='rgb/{name}.png', version=0.9.14, …",
)
@click.option(
    "--height",
    type=click.IntRange(16),
    default=None,
    help="Translate at this height and come back to the image's own size.",
)
@training_options
def translate_run(
    checkpoint: Path, source: Path, output: Path, direction: str, reader: str, reader_settings: tuple[str, ...],
    height: int | None, device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Translate every image of a folder tree; names, sizes and label maps stay. Carries on after a kill."""
    from pipelines.stages.translate_experiment import translate_folder

    machine = open_machine(device, precision, threads)
    finish_translation(
        translate_folder(
            checkpoint, source, output, direction, reader, reader_settings, height, machine, workers, restart
        ),
        output,
    )


def finish_translation(summary: Any, output: Path) -> None:
    """Print the count in = count out line; complain about what failed."""
    click.echo(summary.count_line)
    if summary.failed:
        raise SomeInputsFailedError(f"frames failed: {summary.failed}; {output / 'failures.jsonl'} says which and why")


@cli.group()
def segment() -> None:
    """Stage two: train, evaluate and use a segmenter."""


@segment.command("train")
@experiment_options
@seed_option
@click.option(
    "--arm",
    type=click.Choice(("source_only", "translated", "oracle")),
    default="translated",
    show_default=True,
    help="Which frames to learn from.",
)
@training_options
def segment_train(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None, arm: str,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Train one arm's segmenter, or carry on where it stopped."""
    from pipelines.stages.train_segmenter import train_segmenter

    workspace = open_workspace(config, data, run, overrides)
    machine = open_machine(device, precision, threads)
    click.echo(
        f"segmenter in {train_segmenter(workspace, first_seed(workspace, seed), arm, machine, workers, restart)}"
    )


@segment.command("evaluate")
@experiment_options
@checkpoint_option
@click.option("--output", type=A_FOLDER, default=None, help="[default: an evaluation folder beside the checkpoint]")
@machine_options
def segment_evaluate(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], checkpoint: Path, output: Path | None,
    device: str, precision: str, threads: int | None,
) -> None:  # fmt: skip
    """Evaluate a segmenter on an experiment's validation frames."""
    from pipelines.stages.evaluate import evaluate_checkpoint, format_summary

    workspace = open_workspace(config, data, run, overrides)
    click.echo(
        format_summary(evaluate_checkpoint(workspace, checkpoint, output, open_machine(device, precision, threads)))
    )


@segment.command("predict")
@checkpoint_option
@click.option("--input", "source", type=A_FOLDER, required=True, help="Any folder tree of images.")
@click.option("--output", type=A_FOLDER, required=True, help="Gets labels/ and overlays/.")
@click.option("--overlays/--no-overlays", default=True, show_default=True, help="Also write pictures for people.")
@machine_options
def segment_predict(
    checkpoint: Path, source: Path, output: Path, overlays: bool, device: str, precision: str, threads: int | None
) -> None:
    """Write a label map (train ids) and an overlay for every image of a folder tree."""
    from pipelines.stages.evaluate import predictor
    from pipelines.stages.predict_frames import predict_folder
    from pipelines.stages.train_segmenter import load_segmenter

    machine = open_machine(device, precision, threads)
    network, settings, _ = load_segmenter(checkpoint, machine)
    summary = predict_folder(predictor(network, settings.height, machine), source, output, overlays)
    click.echo(
        f"{summary.predicted + len(summary.failed)} images in, {summary.predicted} label maps out in {output}/labels"
    )
    if summary.failed:
        for _, reason in summary.failed:
            click.echo(reason, err=True)
        raise SomeInputsFailedError(f"images that could not be read: {len(summary.failed)}; they are listed above")


@cli.command()
@experiment_options
@click.option("--seeds", type=click.IntRange(1), default=None, help="Use seeds 0 to N-1 instead of the config's.")
@training_options
def compare(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seeds: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """How much of the gap does translation close? Trains and evaluates all three arms, writes the report."""
    from pipelines.report.tables import format_table
    from pipelines.stages.compare import compare as run_comparison

    if seeds is not None:
        overrides = (*overrides, f"compare.seeds={list(range(seeds))}")
    workspace = open_workspace(config, data, run, overrides)
    study = run_comparison(workspace, open_machine(device, precision, threads), workers, typed_command(), restart)
    click.echo(format_table(study))
    click.echo(f"report: {workspace.run / 'report.html'}")
