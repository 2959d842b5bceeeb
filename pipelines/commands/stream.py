"""`sim2real translate stream`, `sim2real segment stream`: frames as they come, from a pipe, a camera or a film.

Raw frames need nothing; all that FFmpeg opens needs the extra `video`. Ctrl-C, or whoever closes the pipe, is the usual
end of a live stream, and no error.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.machine import open_machine
from pipelines.commands.options import Amount, Place, checkpoint_option, gathered, machine_options
from pipelines.commands.segmenter_options import TypedSegmenter, segmenter_options
from pipelines.errors import ImageError, NoInputsError, SomeInputsFailedError, UserError

if TYPE_CHECKING:
    import numpy as np

    from pipelines.batch_inference.stream import StreamCounts
    from pipelines.data.video.incoming import Lost
    from pipelines.engine.launch import Machine


OF_ADDRESSES = {":", "%"}
"""In what FFmpeg opens that is no path of a file: rtsp://…, concat:…, frames/%06d.png."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within the block a signal is an ordinary end, exit code 0: before the stream begins, which listens by itself."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    former = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Pipes:
    """Where frames come from and pictures go, as it was typed."""

    source: str
    output: str
    size: tuple[int, int] | None
    pixels: Any
    rate: float | None
    input_format: str | None
    when_behind: Any

    def __post_init__(self) -> None:
        if self.size is not None and self.input_format is not None:
            raise UserError("--size is for raw frames and --input-format for all else; give one of them")

    def refuse(self) -> None:
        """Refuse, before anything is loaded, what would be found out late or do nothing.

        Raises:
            UserError: The input is not there or of no such size, the output cannot be, or an option does nothing.
        """
        from pipelines.data.video.incoming import refuse_raw
        from pipelines.data.video.outgoing import is_video_name, refuse_output

        if self.size is not None:
            refuse_raw(self.source, self.size)
        by_path = self.size is not None or (self.input_format is None and not OF_ADDRESSES.intersection(self.source))
        if by_path and self.source != "-" and not Path(self.source).exists():
            raise UserError(f"--input {self.source} does not exist; check the path")
        refuse_output(self.output, self.rate)
        film = is_video_name(self.output)
        if self.pixels != "rgb24" and self.size is None and film:
            raise UserError(f"--pixels {self.pixels}: neither --input nor --output is raw; leave it out")
        if self.rate is not None and not film:
            raise UserError(f"--rate {self.rate:g}: raw pictures have no times; leave it out, or write a film, out.mp4")

    def frames(self, lost: "Lost") -> "Iterator[Any]":
        """The frames as they come; raw where their size was given."""
        from pipelines.data.video.incoming import read_opened, read_raw
        from pipelines.data.video.rates import USUAL_RATE

        if self.size is not None:
            return read_raw(self.source, self.size, lost, self.pixels, self.rate or USUAL_RATE)
        return read_opened(self.source, lost, self.input_format, self.rate)


@dataclass(frozen=True)
class Computer:
    """Where to compute, as it was typed."""

    device: str
    precision: str
    threads: int | None
    deterministic: bool

    def open(self) -> "Machine":
        """The machine; this process does nothing else, so what a frame frees is kept for the next one."""
        from pipelines.engine.launch import make_deterministic
        from pipelines.runtimes.acceleration import keep_freed_memory

        keep_freed_memory()
        if not self.deterministic:  # else open_machine asks for it, strictly
            make_deterministic()
        return open_machine(self.device, self.precision, self.threads, self.deterministic)


A_NAME = Place(readable=False, path_type=str)
"""What need not be a path: - and addresses are taken as they are."""
pipe_options = gathered(
    "pipes",
    Pipes,
    click.option("--input", "source", type=A_NAME, required=True, metavar="NAME",
                 help="- (standard input), a pipe, a file, or an address that FFmpeg opens: rtsp://…"),
    click.option("--output", type=A_NAME, required=True, metavar="NAME",
                 help="- (standard output) or a pipe for raw pictures; a name such as out.mp4 for a video."),
    click.option("--size", type=click.IntRange(1), nargs=2, default=None, metavar="WIDTH HEIGHT",
                 help="Of raw frames; without it FFmpeg opens the input (extra `video`)."),
    click.option("--pixels", type=click.Choice(("rgb24", "bgr24")), default="rgb24", show_default=True,
                 help="Order of the colours of raw frames and pictures."),
    click.option("--rate", type=Amount(0.01, 1000), default=None,
                 help="Frames a second of a film, where the source gives no times.  [default: the source's, or 25]"),
    click.option("--input-format", default=None, metavar="FORMAT", help="FFmpeg's name of the input's format."),
    click.option("--when-behind", type=click.Choice(("queue", "drop")), default="queue", show_default=True,
                 help="When frames come too fast: queue has the source wait, drop leaves out all but the newest."),
)  # fmt: skip
computer_options = gathered("computer", Computer, machine_options)
inference_options = gathered(
    "typed",
    TypedSegmenter,
    *segmenter_options("Label maps in the place of overlays: ids, a byte a pixel, for raw output alone, or colours."),
)


@click.command("stream")
@checkpoint_option
@pipe_options
@click.option("--direction", type=click.Choice(("source_to_target", "target_to_source")), default="source_to_target",
              show_default=True)  # fmt: skip
@click.option("--height", type=click.IntRange(16), default=None,
              help="Translate at this height and come back to the frame's own size.")  # fmt: skip
@click.option("--fast", is_flag=True, help="In bf16 but for the first layers, where the processor has it.")
@click.option("--runtime", type=click.Choice(("torch", "compile", "openvino")), default="torch", show_default=True,
              help="compile takes a minute per size of frame; openvino is an extra.")  # fmt: skip
@computer_options
@ended_by_signals()
def translate_stream(
    checkpoint: Path, pipes: Pipes, direction: Any, height: int | None, fast: bool, runtime: Any, computer: Computer
) -> None:
    """Translate frames as they come: from a pipe, a network camera or a film, to a pipe or a film."""
    pipes.refuse()

    from pipelines.runtimes.frame_translation import mode_on
    from pipelines.runtimes.live import translator_on

    machine = computer.open()
    translate = translator_on(
        machine, checkpoint, size=None, height=height, direction=direction, fast=fast, runtime=runtime
    )
    put_through(pipes, translate, "translate", f"{runtime}, {mode_on(machine, fast)}", machine)


@click.command("stream")
@inference_options
@pipe_options
@computer_options
@ended_by_signals()
def segment_stream(typed: TypedSegmenter, pipes: Pipes, computer: Computer) -> None:
    """Segment frames as they come: from a pipe, a network camera or a film, to a pipe or a film of overlays."""
    from pipelines.data.video.outgoing import is_video_name

    pipes.refuse()
    if typed.labels in ("train_ids", "label_ids") and is_video_name(pipes.output):
        raise UserError(f"--labels {typed.labels}: a video would change ids at every border; give --output a pipe or -")

    from pipelines.data.labels.label_formats import in_format
    from pipelines.runtimes.live import segmenter_on
    from pipelines.runtimes.segmenter_runtime import fastest_runtime, mode_on
    from pipelines.stages.predicting.predict_frames import overlay

    machine = computer.open()
    runtime = typed.runtime or fastest_runtime(machine)
    segment = segmenter_on(
        machine,
        typed.checkpoints,
        height=typed.height,
        fast=typed.fast,
        runtime=runtime,
        flip=typed.flip,
        weights=typed.weights,
    )

    def draw(frame: "np.ndarray") -> "np.ndarray":
        label_map = segment(frame)
        return overlay(frame, label_map) if typed.labels is None else in_format(label_map, typed.labels)

    put_through(pipes, draw, "predict", f"{runtime}, {mode_on(machine, typed.fast)}", machine)


def put_through(
    pipes: Pipes, draw: "Callable[[np.ndarray], np.ndarray]", what: str, how: str, machine: "Machine"
) -> None:
    """Put the frames through, and say in the end how many they were and how late.

    Args:
        pipes: Where they come from and go.
        draw: Frame to picture.
        what: Is done to them, for people.
        how: It is computed, for people.
        machine: Where.

    Raises:
        NoInputsError: No frame came, and nobody asked to stop.
        SomeInputsFailedError: Some were lost.
        ImageError: The source failed in the middle.
    """
    from pipelines.batch_inference.stream import Stream, Watcher
    from pipelines.data.video.outgoing import open_sink
    from pipelines.engine.capabilities import capabilities
    from pipelines.engine.launch import StopRequest, describe_machine
    from pipelines.progress import Progress

    with (
        StopRequest().listening() as stop,
        Progress(what, None, "frame") as progress,
        open_sink(pipes.output, pipes.pixels, pipes.rate, lambda: bool(stop)) as sink,
    ):
        progress.say(f"{what}: {how}, {describe_machine(machine)} ({capabilities()})")

        def reach(counts: "StreamCounts") -> None:
            progress.reach(counts.written, f"latency {counts.latencies[-1] * 1000:.0f} ms")

        stream = Stream(draw, sink, pipes.when_behind, Watcher(progress.say, reach, lambda: bool(stop)))
        failure: ImageError | None = None
        try:
            stream.run(pipes.frames(stream.lost))
        except ImageError as error:
            failure = error
    report(stream.counts, pipes.source, failure, bool(stop))


def report(counts: "StreamCounts", source: str, failure: ImageError | None, stopped: bool) -> None:
    """The last lines, on stderr, since pictures may go to standard output; complain about what was lost."""
    if counts.written:
        click.echo(counts.count_line, err=True)
        click.echo(counts.speed_line, err=True)
    if failure is not None:
        raise failure
    if counts.lost:
        raise SomeInputsFailedError(f"frames lost: {counts.lost} of {counts.read + counts.lost}; see above")
    if not counts.read and not stopped:
        raise NoInputsError(f"no frame came from --input {source}")
