"""The command line keeps its word: every foreseeable mistake is one line and an exit code."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import click
import pytest

from pipelines import cli
from pipelines.errors import (
    CheckpointError,
    ImageError,
    Interrupted,
    NoInputsError,
    NumericalError,
    SomeInputsFailedError,
    StorageError,
    UserError,
)
from tests.pipelines.hangs import HANGS_S

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(monkeypatch, capsys):
    """A function: arguments -> exit code and stderr of the command, run in this process (a test may patch it)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sim2real", *map(str, arguments)])
        try:
            cli.main()
            code = 0
        except SystemExit as stopped:
            code = stopped.code
        return code, capsys.readouterr().err

    return run


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["comprae"], "No such command 'comprae'"),
        (["config", "show"], "Missing argument 'CONFIG'; see sim2real config show --help"),
        (["config", "show", "x", "--nope"], "No such option"),
        (["compare", "x", "--seeds", "0"], "'--seeds': 0 is not in the range x>=1"),
        (["compare", "x", "--seeds", "two"], "'two' is not a valid integer"),
        (["translate", "run", "--checkpoint", "x", "--input", "y"], "Missing option '--output'"),
        (["translate", "train", "x", "--precision", "fp8"], "'fp8' is not one of 'auto', 'fp32', 'bf16'"),
        (["data", "toyworld", "--output", "x", "--renderer", "film"], "'film' is not one of 'game', 'camera'"),
        (["config", "show", "nope.toml"], "config nope.toml: cannot read: No such file or directory"),
    ],
)
def test_usage_errors_are_one_line(here, arguments, expected):
    code, stderr = here(*arguments)
    assert code == 2
    assert stderr.startswith("error: ") and stderr.count("\n") == 1
    assert expected in stderr


def test_an_output_that_is_a_file_is_a_usage_error(here, tmp_path):
    (tmp_path / "file").touch()
    for arguments in (
        ["compare", "x", "--run", tmp_path / "file"],
        ["data", "toyworld", "--renderer", "game", "--output", tmp_path / "file"],
        ["segment", "predict", "--checkpoint", "x", "--input", tmp_path, "--output", tmp_path / "file"],
    ):
        code, stderr = here(*arguments)
        assert code == 2 and stderr.startswith("error: ") and "file' is a file" in stderr


def commands_below(command, names=()):
    yield names, command
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands_below(below, (*names, name))


ALL_COMMANDS = dict(commands_below(cli.cli))


@pytest.mark.parametrize("names", ALL_COMMANDS, ids=" ".join)
def test_every_command_has_help(here, names, capsys):
    assert here(*names, "--help") == (0, "")
    cli.cli([*names, "--help"], prog_name="sim2real", standalone_mode=False)
    text = capsys.readouterr().out
    assert " ".join(("Usage: sim2real", *names)) in text
    assert ALL_COMMANDS[names].help.split()[0] in text


@pytest.mark.parametrize("names", [n for n, c in ALL_COMMANDS.items() if not isinstance(c, click.Group)], ids=" ".join)
def test_every_option_in_the_help_is_accepted(names):
    command = ALL_COMMANDS[names]
    shown = set(re.findall(r"--[a-z-]+", command.get_help(click.Context(command)))) - {"--help"}
    options = {option: p for p in command.params for option in (*p.opts, *p.secondary_opts) if option.startswith("--")}
    assert shown == options.keys()
    needed = [word for p in command.params if p.required for word in given(p, p.opts[0])]
    for option, parameter in options.items():
        context = command.make_context(names[-1], [*needed, *given(parameter, option)])
        assert parameter.name in context.params


def test_no_option_takes_what_is_no_number():
    ranges = [p for c in ALL_COMMANDS.values() for p in c.params if isinstance(p.type, click.types.FloatParamType)]
    assert ranges
    for parameter in ranges:
        with pytest.raises(click.BadParameter):
            parameter.type.convert("nan", parameter, None)


def given(parameter, name):
    """The words that give a parameter a valid value."""
    option = [name] if name.startswith("--") else []
    if getattr(parameter, "is_flag", False):
        return option
    if isinstance(parameter.type, click.Choice):
        return [*option, parameter.type.choices[0]]
    largest = getattr(parameter.type, "max", None)
    return [*option, *["64" if largest is None or largest >= 64 else str(largest)] * parameter.nargs]


def run_python(code, *arguments, **options):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, timeout=HANGS_S, **options)


WITHOUT = """
import json, sys
from pipelines.cli import main
modules = set(sys.argv[2].split())
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["sim2real", *arguments]
    try:
        main()
    except SystemExit as stopped:
        assert not stopped.code, (arguments, stopped.code)
    assert not modules & sys.modules.keys(), arguments
"""


def test_no_help_waits_for_torch():
    """Importing torch takes seconds; whoever asks for help waits for none of them."""
    arguments = [[*names, "--help"] for names in ALL_COMMANDS]
    finished = run_python(WITHOUT, json.dumps(arguments), "torch", capture_output=True)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "config show CONFIG",
        "config inputs CONFIG --run RUN",
        "data check CONFIG",
        "compare CONFIG --run RUN --dry-run",
        "runs list FINISHED",
        "runs show FINISHED/seed-0/oracle",
        "verify FINISHED",
        "translate distill CONFIG --run RUN --set student={} --dry-run",
        "data toyworld --renderer game --frames 1 --size 32 16 --output RUN",
        "translate run --checkpoint FINISHED/seed-0/translator --input FRAMES --output RUN --dry-run",
        "translate run --checkpoint FINISHED/seed-0/translator --input FRAMES --reader carla --frames version=0.9.14 "
        "--output RUN --dry-run",
    ],
)
def test_what_computes_nothing_does_not_wait_for_torch(arguments, tiny_config, tiny_run, tmp_path):
    frames = tiny_config.parent / "frames" / "game"
    places = {"CONFIG": tiny_config, "RUN": tmp_path / "run", "FRAMES": frames, "FINISHED": tiny_run}
    words = [re.sub("^[A-Z]+", lambda place: str(places[place[0]]), word) for word in arguments.split()]
    finished = run_python(WITHOUT, json.dumps([words]), "torch", capture_output=True)
    assert finished.returncode == 0, finished.stderr


def test_a_dry_run_of_a_video_does_not_wait_for_torch(tiny_run, tmp_path):
    pytest.importorskip("av")
    from tests.pipelines.data.video.films import film  # needs the extra at the top

    film(tmp_path / "in.mp4")
    words = ["translate", "run", "--checkpoint", tiny_run / "seed-0/translator", "--input", tmp_path / "in.mp4"]
    words += ["--output", tmp_path / "out.mp4"]
    finished = run_python(WITHOUT, json.dumps([[*map(str, words), "--dry-run"]]), "torch", capture_output=True)
    assert finished.returncode == 0, finished.stderr


def test_who_only_translates_waits_for_neither_compiler_nor_torchvision(tiny_config, tiny_run, tmp_path):
    """They take twice as long to import as torch alone."""
    frames = tiny_config.parent / "frames" / "game" / "rgb"
    words = ["translate", "run", "--checkpoint", tiny_run / "seed-0/translator", "--input", frames]
    words += ["--output", tmp_path / "out", "--device", "cpu", "--threads", 1, "--workers", 0]
    modules = "torch._dynamo torch._inductor torchvision"
    finished = run_python(WITHOUT, json.dumps([[*map(str, words)]]), modules, capture_output=True)
    assert finished.returncode == 0, finished.stderr


# --- the process ------------------------------------------------------------------------------------------------------

MAIN = "from pipelines.cli import main; main()"


def test_a_real_process_ends_with_the_code_and_the_line():
    finished = run_python(MAIN, "config", "show", "nope.toml", capture_output=True)
    assert finished.returncode == 2
    assert finished.stderr == (
        "error: config nope.toml: cannot read: No such file or directory; bundled ones are in pipelines/configs\n"
    )


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_closed_standard_streams_are_no_failure(tmp_path, closed):
    """As `2>&-` leaves them, and what starts programs without a terminal."""

    def close():
        for descriptor in closed:
            os.close(descriptor)

    words = ("data", "toyworld", "--renderer", "game", "--frames", 1, "--size", 32, 16, "--output", tmp_path / "out")
    assert run_python(MAIN, *words, preexec_fn=close).returncode == 0


def test_a_name_that_the_output_s_encoding_lacks_is_no_failure(tmp_path):
    """All is made by then."""
    output = tmp_path / os.fsdecode(b"\xff")
    words = ("data", "toyworld", "--renderer", "game", "--frames", 1, "--size", 32, 16, "--output", output)
    finished = run_python(MAIN, *words, capture_output=True)
    assert (finished.returncode, finished.stdout) == (0, f"1 frames in {tmp_path}/\\udcff\n")


def test_a_reader_that_went_away_is_no_traceback(tiny_config):
    """`sim2real config show CONFIG | head -1`, with a head that is quicker than we are."""
    reading, writing = os.pipe()
    os.close(reading)
    finished = run_python(MAIN, "config", "show", tiny_config, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert finished.returncode != 0 and finished.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout(tiny_config):
    with open("/dev/full", "w") as full:
        finished = run_python(MAIN, "config", "show", tiny_config, stdout=full, stderr=subprocess.PIPE)
    assert finished.returncode == 6
    assert finished.stderr.startswith("error: output: No space left on device")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError, 2),
        (SomeInputsFailedError, 3),
        (ImageError, 3),
        (NoInputsError, 4),
        (CheckpointError, 5),
        (StorageError, 6),
        (NumericalError, 7),
    ],
)
def test_each_kind_of_error_has_its_code(here, monkeypatch, error, code):
    def fails(*_):
        raise error("what is\nwrong")

    monkeypatch.setattr("pipelines.experiment.config.read_experiment", fails)
    assert here("config", "show", "x") == (code, "error: what is wrong\n")


def test_stopped_by_a_signal_is_no_error(here, monkeypatch):
    def stops(*_):
        raise Interrupted("SIGTERM at step 5 of 9")

    monkeypatch.setattr("pipelines.experiment.config.read_experiment", stops)
    assert here("config", "show", "x") == (75, "stopped: SIGTERM at step 5 of 9\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_batch_system_stops_whatever_is_under_way_and_may_queue_it_again(here, monkeypatch, name):
    """Where no stage listens by itself, such as while frames are looked at: not by -15, which looks like an error."""
    monkeypatch.setattr(
        "pipelines.experiment.config.read_experiment", lambda *_: os.kill(os.getpid(), getattr(signal, name))
    )
    before = signal.getsignal(getattr(signal, name))
    said = f"stopped: {name}; what was finished is kept and the same command carries on\n"
    assert here("config", "show", "x") == (75, said)
    assert signal.getsignal(getattr(signal, name)) is before


def test_a_signal_while_a_file_is_read_is_not_taken_for_its_damage(here, monkeypatch, tiny_config, tmp_path):
    """Whatever a decoder throws is an error of its file; this is none."""
    monkeypatch.setattr(
        "pipelines.data.decoding.decoders.Decoders.read", lambda *given: os.kill(os.getpid(), signal.SIGTERM)
    )
    code, said = here("data", "check", str(tiny_config), "--run", str(tmp_path / "run"))
    assert code == 75 and said.splitlines()[-1].startswith("stopped: SIGTERM; ")


def test_ctrl_c_is_no_traceback(here, monkeypatch):
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.experiment.config.read_experiment", stops)
    code, stderr = here("config", "show", "x")
    assert code == 130
    assert stderr.strip() == "error: interrupted; what was finished is kept and the same command carries on"


@pytest.mark.parametrize(
    ("error", "code", "expected"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            6,
            "error: /x: No space left on device. Check the path",
        ),
        (OSError(errno.EROFS, "Read-only file system"), 6, "error: output: Read-only file system."),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/y"), 6, "error: /y: File name too long."),
        (MemoryError(), 2, "error: memory ran out. Use a smaller batch, crop or height"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 2, "error: memory ran out."),
        (BrokenProcessPool("A process was terminated"), 2, "error: one of the --workers was killed, most likely for"),
        (
            RuntimeError("reflection_pad2d_backward_cuda does not have a deterministic implementation, but you set …"),
            2,
            "error: reflection_pad2d_backward_cuda does not give the same bits in every run on this device; leave "
            "--deterministic out",
        ),
    ],
)
def test_what_the_machine_cannot_do_is_foreseeable(here, monkeypatch, error, code, expected):
    def fails(*_):
        raise error

    monkeypatch.setattr("pipelines.experiment.config.read_experiment", fails)
    found, stderr = here("config", "show", "x")
    assert found == code and expected in stderr and stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), FileNotFoundError(errno.ENOENT, "x"), KeyError("x"), EOFError("too short")]
)
def test_our_own_bugs_keep_their_traceback(here, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr("pipelines.experiment.config.read_experiment", fails)
    with pytest.raises(type(error)):
        here("config", "show", "x")
