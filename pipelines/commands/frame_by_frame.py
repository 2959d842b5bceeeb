"""What the commands share that take a folder, a list or a video through a network, one frame after the other.

`translate run` and `segment predict` are given the same things and go about them the same way: safe to kill, in parts,
or as a dry run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.machine import open_machine, typed_command
from pipelines.commands.options import A_PATH, Decorator, gathered, machine_options, restart_option
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import SomeInputsFailedError, UserError

if TYPE_CHECKING:
    from pipelines.batch_inference.plan import PlannedFrame
    from pipelines.batch_inference.shards import Part
    from pipelines.batch_inference.work import Outcome
    from pipelines.engine.session import Session

READERS = ("folder", "carla", "gta5", "synthia", "cityscapes", "camvid", "idd_lite", "translated")
WORKERS = 2
WORTH_A_LINE = 20
"""Frames; of fewer nobody wants to know what they waited for."""


@dataclass(frozen=True)
class Given:
    """What goes in, and where it comes out."""

    source: Path
    output: Path
    reader: str
    reader_settings: tuple[str, ...]
    carry: tuple[str, ...] = ()

    @property
    def is_video(self) -> bool:
        """Whether a video goes in, as its name says; a folder may be called like one."""
        from pipelines.data.video.formats import is_video

        return is_video(self.source) and not self.source.is_dir()

    def plan(self, suffix: str | None = None) -> "tuple[list[PlannedFrame], dict[str, int]]":
        """The frames, and how many of them lack each file that is to be carried along; see `plan_input`."""
        from pipelines.batch_inference.inputs import plan_input

        return plan_input(self.source, self.output, self.reader, self.reader_settings, suffix, self.carry)


def refuse_for_video(given: Given, work: "WorkThrough", done: str, more: Mapping[str, bool]) -> None:
    """Refuse, of a video and before anything is loaded, what would be found out late or do nothing.

    Args:
        given: Its source is a video.
        work: How it would be worked through.
        done: Is done to it, for people: "translated".
        more: Options that do nothing for a video -> whether they were typed; beside those of `given`.

    Raises:
        UserError: It is not there, would not become a video, or comes with an option that does nothing for one.
    """
    from pipelines.data.video.formats import is_video, load_av
    from pipelines.data.video.pieces import encoder_of

    source, output = given.source, given.output
    if not source.exists():
        raise UserError(f"--input {source} does not exist; check the path")
    if not is_video(output):
        raise UserError(f"--input {source}: a video is {done} into a video; give --output a name such as out.mp4")
    if work.part is not None:
        raise UserError(f"{work.why_in_parts}: a video is {done} by one process; cut it into several to share the work")
    in_files = {"--reader": given.reader != "folder", "--frames": given.reader_settings, "--carry": given.carry}
    typed = [option for option, value in (*in_files.items(), *more.items()) if value]
    if typed:
        options = " and ".join(typed)
        raise UserError(f"{options}: of use for images in files, and --input {source} is a video; leave it out")
    encoder_of(output)
    load_av()


def given_options(of_output: str, of_reader: str, *more: Decorator) -> Decorator:
    """The options of `Given`, which reaches a command as `given`; `more` are those that only it has."""
    return gathered(
        "given",
        Given,
        click.option(
            "--input", "source", type=A_PATH, required=True,
            help="A folder tree of images, the root of a data set, a list file (one path a line), an image or a video.",
        ),
        click.option("--output", type=A_PATH, required=True, help=of_output),
        click.option("--reader", type=click.Choice(READERS), default="folder", show_default=True, help=of_reader),
        click.option(
            "--frames", "reader_settings", multiple=True, metavar="KEY=VALUE",
            help="Setting of the reader: images='rgb/{name}.png', version=0.9.14, …",
        ),
        *more,
    )  # fmt: skip


@dataclass(frozen=True)
class WorkThrough:
    """How the frames are worked through."""

    device: str
    precision: str
    threads: int | None
    deterministic: bool
    workers: int
    shard: str | None
    restart: bool
    dry_run: bool

    @property
    def part(self) -> "Part | None":
        """The part that is done here: that of --shard, else that of torchrun's process, else all (None)."""
        from pipelines.batch_inference.shards import Part

        return Part.parse(self.shard) if self.shard else Part.of_environment()

    @property
    def why_in_parts(self) -> str:
        """Who asked for a part alone: the option as it was typed, or a launcher, by the variables that it sets."""
        if self.shard:
            return f"--shard {self.shard}"
        started = ProcessRank.of_environment()
        return f"RANK and WORLD_SIZE, by which a launcher (torchrun, srun) started {started.world_size} processes"

    def open_session(self) -> "Session":
        """How to compute; this process does nothing else, so what a frame frees is kept for the next one."""
        from pipelines.engine.launch import shared_device
        from pipelines.engine.session import Session
        from pipelines.runtimes.acceleration import keep_freed_memory

        keep_freed_memory()
        machine = open_machine(shared_device(self.device), self.precision, self.threads, self.deterministic)
        return Session(machine, max(self.workers, 1), self.restart, typed_command())

    def finish(self, outcome: "Outcome", output: Path) -> None:
        """Print the count in = count out line; complain about what failed."""
        say_network_share(outcome.network_share, outcome.made)
        click.echo(outcome.count_line)
        if outcome.part is not None and not self.shard:
            # torchrun ends all processes when one reports an error; the one that finishes last reports for all.
            return
        complain(outcome, output)


work_options = gathered(
    "work",
    WorkThrough,
    machine_options,
    click.option("--workers", type=click.IntRange(0), default=WORKERS, show_default=True,
                 help="Threads that read ahead and write behind."),
    click.option("--shard", default=None, metavar="I/N",
                 help="Do part I of N; others may be at work beside it.  [default: from torchrun]"),
    restart_option,
    click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing."),
)  # fmt: skip
"""The options of `WorkThrough`, which reaches a command as `work`."""


def complain(outcome: "Outcome", output: Path) -> None:
    """SomeInputsFailedError if frames failed."""
    if outcome.failed:
        raise SomeInputsFailedError(
            f"frames failed: {outcome.failed}; {output / outcome.failure_list} says which and why"
        )


def complain_of_unreadable(frames: Any) -> None:
    """SomeInputsFailedError if a dry run found frames that cannot be read; it has named them."""
    if frames:
        raise SomeInputsFailedError(f"frames that cannot be read: {len(frames)}; see above")


def say_network_share(share: float | None, frames: int) -> None:
    """One line on stderr: how much of the time the network did not wait for files. Nothing for a handful of frames."""
    if share is not None and frames >= WORTH_A_LINE:
        click.echo(f"the network was at work {share:.0%} of the time", err=True)
