"""The command line: gathers the commands, and turns what went wrong into one line and an exit code.

Nothing heavy is imported at the top: `--help` must answer at once, and torch alone takes seconds.
"""

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from types import FrameType

import click
from click.exceptions import NoArgsIsHelpError

from pipelines.commands.checkpoint import checkpoint
from pipelines.commands.compare import compare
from pipelines.commands.completion import completion
from pipelines.commands.config import config
from pipelines.commands.data import data
from pipelines.commands.doctor import doctor
from pipelines.commands.export import export
from pipelines.commands.runs import runs
from pipelines.commands.segment import segment
from pipelines.commands.several_processes import refuse_several_processes
from pipelines.commands.translate import translate
from pipelines.commands.variants import variants
from pipelines.commands.verify import verify
from pipelines.data.decoding.decoders import supervised_decoding
from pipelines.engine.torchrun import ProcessRank, tell_once
from pipelines.errors import Interrupted, StorageError, UserError
from pipelines.printable import printable

EXIT_CODES = """
Exit codes: 0 done, 2 usage or settings, 3 done but for some inputs, 4 no inputs, 5 checkpoint, 6 disk,
7 a loss is no number, or training collapsed, 75 stopped by a signal after saving (the same command carries on),
130 Ctrl-C twice.
"""


DISK_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG,
    errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
)  # fmt: skip
"""What a disk or a path can be blamed for; anything else is our bug."""

KEPT = "what was finished is kept and the same command carries on"


def main() -> None:
    """Run the command line; every foreseeable error is one line on stderr, told once if torchrun started several."""
    prepare_standard_streams()
    try:
        run_command_line()
    except Exception:  # our bug
        if ProcessRank.of_environment().world_size == 1:
            raise
        sys.exit(tell_once(traceback.print_exc, 1))


def prepare_standard_streams() -> None:
    """Have nothing fail, or land elsewhere, for what is said of it.

    Whoever starts us may have closed standard streams (`2>&-`): what is said there would go to the next file opened.
    And the path of what was made may hold characters that the output's encoding lacks.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process lives)
    if sys.stdout is not None:  # else left so: `raw.py` refuses to stream to what was closed
        sys.stdout.reconfigure(errors="backslashreplace")


def run_command_line() -> None:
    """Run the command that was typed; leave with an exit code where something foreseeable went wrong."""
    try:
        with _stoppable(), supervised_decoding():
            cli(prog_name="sim2real", standalone_mode=False)
    except UserError as error:
        fail(str(error), error.exit_code)
    except _Stopped as stopped:
        fail(f"{stopped.signal_name}; {KEPT}", Interrupted.exit_code)
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        help_of = error.ctx.command_path if error.ctx else "sim2real"
        fail(f"{error.format_message().rstrip('.')}; see {help_of} --help", error.exit_code)
    except (click.Abort, KeyboardInterrupt) as stopped:
        if isinstance(stopped.__cause__, EOFError):
            # click takes the end of any file for that of an answer to a question. No command asks one.
            raise stopped.__cause__ from None
        fail(f"interrupted; {KEPT}", 130)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or "output"
        fail(f"{where}: {error.strerror}. Check the path, the disk and its permissions", StorageError.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not (remedy := remedy_for_memory(error) or remedy_for_determinism(error)):
            raise
        fail(remedy, UserError.exit_code)


class _Stopped(SystemExit):
    """A batch system asked to stop where no stage listens for it (`StopRequest`), as Ctrl-C asks."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(Interrupted.exit_code)
        self.signal_name = signal_name


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Within the block, what SLURM sends ends the command as Ctrl-C would, so that its job may be queued again."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped(signal.Signals(number).name)

    former = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def remedy_for_memory(error: BaseException) -> str:
    """What to do about an error that says that memory ran out; empty for any other error."""
    message = str(error)
    if isinstance(error, BrokenExecutor):
        return "one of the --workers was killed, most likely for want of memory. Use fewer; what was written is kept"
    if isinstance(error, MemoryError) or "out of memory" in message or "can't allocate memory" in message:
        return "memory ran out. Use a smaller batch, crop or height, or another --device"
    return ""


def remedy_for_determinism(error: BaseException) -> str:
    """What to do where --deterministic asks for what torch cannot promise; empty for any other error."""
    operation, found, _ = str(error).partition(" does not have a deterministic implementation")
    if not found:
        return ""
    return (
        f"{' '.join(operation.split())} does not give the same bits in every run on this device; leave --deterministic "
        "out, or choose another method or network"
    )


def fail(message: str, exit_code: int) -> None:
    """Say what is wrong on one line and leave."""
    kind = "stopped" if exit_code == Interrupted.exit_code else "error"
    line = printable(f"{kind}: {' '.join(message.split())}")
    sys.exit(tell_once(lambda: click.echo(line, err=True), exit_code))


@click.group(epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sim2real")
def cli() -> None:
    """Close the gap between simulated and real driving scenes, and measure how much of it was closed."""


for command in (
    *(data, config, translate, segment, compare, variants, checkpoint, export),
    *(runs, verify, doctor, completion),
):
    cli.add_command(command)
refuse_several_processes(cli, "sim2real")
