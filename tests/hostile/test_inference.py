"""Prediction and evaluation killed, stopped, or on a failing disk: given again, they end with the same bytes.

Before and after the calls by which files come to be the process dies (SIGKILL), or the call fails as the system makes
it fail; then the command is given again, and every file is compared with those of a run that nothing disturbed.
"""

import shutil
import signal

import pytest

from pipelines.data.images import encode_png
from tests.hostile.test_disks import ERRORS, assert_the_disk_is_blamed
from tests.pipelines.data.image_bytes import PHOTO
from tests.pipelines.test_end_to_end import content

pytestmark = pytest.mark.slow
SAMPLED_EVERY = 30

FRAMES = ("a/0", "a/1", "b/0")
COMMANDS = ("predict", "evaluate")
NETWORK = "pipelines.runtimes.frame_prediction.FramePredictor.label_map"
KILLS = {
    "predict": [
        *(("os.fsync", at, after) for at in (1, 3, 4, 6, 9, 12) for after in (False, True)),
        *(("os.replace", at, after) for at in (1, 2, 3, 7, 8) for after in (False, True)),
        *((NETWORK, at, after) for at in (1, 3) for after in (False, True)),
        ("pipelines.stages.predicting.predict_frames.encode_png", 2, False),
        ("pathlib.Path.mkdir", 1, True),
    ],
    "evaluate": [
        *(("os.fsync", at, after) for at in (1, 2, 5, 9, 12) for after in (False, True)),
        *(("os.replace", at, after) for at in (1, 4, 5, 6, 7) for after in (False, True)),
        *((NETWORK, 2, after) for after in (False, True)),
    ],
}
ALL_KILLS = [(command, *where) for command in COMMANDS for where in KILLS[command]]
FAILING = [
    *(("os.fsync", error, at) for error in ("ENOSPC", "EIO", "EDQUOT") for at in (1, 6)),
    *(("os.replace", error, at) for error in ("EROFS", "EACCES") for at in (1, 5)),
]


@pytest.fixture(scope="module")
def place(tiny_run, tmp_path_factory):
    """A folder with a finished run and with frames to predict."""
    folder = tmp_path_factory.mktemp("inference")
    shutil.copytree(tiny_run, folder / "run")
    for number, name in enumerate(FRAMES):
        (folder / f"in/{name}.png").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"in/{name}.png").write_bytes(encode_png(PHOTO // (number + 1)))
    return folder


@pytest.fixture(scope="module")
def outputs(place):
    """Where each command writes."""
    return {"predict": place / "out", "evaluate": place / "run/seed-0/oracle/evaluation"}


@pytest.fixture(scope="module")
def given(commands, tiny_config, place):
    """A function: a command, what befalls it -> how it ended."""

    def run(command, **mishap):
        checkpoint = ("--checkpoint", place / "run/seed-0/oracle", "--threads", 1, "--device", "cpu")
        if command == "evaluate":
            return commands("segment", "evaluate", tiny_config, "--run", place / "run", *checkpoint, **mishap)
        files = ("--input", place / "in", "--output", place / "out", "--runtime", "torch", "--workers", 1)
        return commands("segment", "predict", *files, *checkpoint, **mishap)

    return run


@pytest.fixture(scope="module")
def undisturbed(given, outputs):
    """A function: a command -> every file that it writes where nothing disturbs it."""
    known = {}

    def files(command):
        if command not in known:
            shutil.rmtree(outputs[command], ignore_errors=True)
            done = given(command)
            assert done.code == 0, done.stderr
            known[command] = content(outputs[command])
        return known[command]

    return files


@pytest.fixture
def disturbed(given, undisturbed, outputs):
    """A function: a command into an empty place, and what befalls it -> how it ended."""

    def run(command, **mishap):
        undisturbed(command)
        shutil.rmtree(outputs[command])
        return given(command, **mishap)

    return run


@pytest.fixture
def carries_on(given, undisturbed, outputs):
    """A function: the same command finishes, with the bytes of a run that nothing disturbed."""

    def finish(command):
        done = given(command)
        assert done.code == 0, done.stderr
        ours, theirs = content(outputs[command]), undisturbed(command)
        assert sorted(ours) == sorted(theirs)
        assert [name for name in ours if ours[name] != theirs[name]] == []

    return finish


@pytest.mark.parametrize(("command", "call", "at", "after"), ALL_KILLS)
def test_killed_and_started_again(disturbed, carries_on, command, call, at, after):
    killed = disturbed(command, trap={"call": call, "at": at, "after": after})
    assert killed.code == -signal.SIGKILL, killed.stderr
    carries_on(command)


def test_a_prediction_killed_three_times_does_no_finished_frame_again(disturbed, given, carries_on):
    assert disturbed("predict", trap={"call": NETWORK, "at": 1}).code == -signal.SIGKILL
    for _ in range(2):  # one frame further each time
        assert given("predict", trap={"call": NETWORK, "at": 2, "after": True}).code == -signal.SIGKILL
    carries_on("predict")
    assert "3 already there" in given("predict").stdout


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_prediction_that_is_asked_to_stop_finishes_its_frames_and_leaves_with_75(disturbed, carries_on, at, name):
    stopped = disturbed("predict", trap={"call": NETWORK, "at": at, "signal_name": name, "group": True})
    assert stopped.code == 75, stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith("stopped: ")
    carries_on("predict")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
def test_an_evaluation_that_is_asked_to_stop_leaves_no_figures(disturbed, carries_on, outputs, name):
    stopped = disturbed("evaluate", trap={"call": NETWORK, "at": 2, "signal_name": name})
    assert stopped.code == (130 if name == "SIGINT" else 75), stopped.stderr
    assert "Traceback" not in stopped.stderr and not (outputs["evaluate"] / "evaluation.json").exists()
    carries_on("evaluate")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("call", "error", "at"), FAILING)
def test_a_call_that_fails(disturbed, carries_on, outputs, command, call, error, at):
    failed = disturbed(command, trap={"call": call, "at": at, "error": error})
    assert_the_disk_is_blamed(failed, outputs[command], ERRORS[error])
    carries_on(command)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("limit", [400, 1000])
def test_a_disk_that_takes_no_more(disturbed, carries_on, outputs, command, limit):
    """Decoded pixels come through memory, which is no disk: the frames are not blamed."""
    failed = disturbed(command, limits={"FSIZE": limit})
    assert_the_disk_is_blamed(failed, outputs[command], "File too large")
    carries_on(command)
