"""`translate stream` and `segment stream` with real pipes and films: results of the batch commands, and all endings."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import numpy as np
import pytest

from pipelines.batch_inference.stream import StreamCounts
from pipelines.commands.stream import Computer, report, segment_stream, translate_stream
from pipelines.data.images import read_image, read_raw, write_image
from pipelines.errors import NoInputsError, UserError
from tests.pipelines.commands.typed import typed
from tests.pipelines.data.video.films import FRAMES, film, frames_of, picture, seconds

ROOT = Path(__file__).parents[3]
SIZE = (48, 32)
BYTES = 48 * 32 * 3
ENDING = re.compile(
    r"(?m)^4 frames in, 4 out, 0 dropped, 0 lost\n"
    r"\d+\.\d frames/s; latency from read to written: p50 \d+\.\d, p90 \d+\.\d, p99 \d+\.\d ms$"
)


@pytest.fixture
def raw(tmp_path):
    """A file of four raw frames, and the same as images in a folder."""
    pictures = [picture(number) for number in range(4)]
    (tmp_path / "raw").write_bytes(b"".join(one.tobytes() for one in pictures))
    for number, one in enumerate(pictures):
        write_image(tmp_path / f"in/{number}.png", one)
    return tmp_path / "raw"


@pytest.fixture
def translator(tiny_run):
    return ("--checkpoint", tiny_run / "seed-0/translator", "--device", "cpu", "--threads", 1)


@pytest.fixture
def segmenter(tiny_run):
    return ("--checkpoint", tiny_run / "seed-0/translated_net", "--device", "cpu", "--threads", 1)


@pytest.mark.parametrize("deterministic", [False, True])
def test_torch_is_asked_once_for_the_same_bits(monkeypatch, deterministic):
    asked = []
    monkeypatch.setattr("pipelines.engine.launch.make_deterministic", lambda strictly=False: asked.append(strictly))
    monkeypatch.setattr("pipelines.runtimes.acceleration.keep_freed_memory", lambda: True)
    assert Computer("cpu", "auto", 1, deterministic).open().deterministic == deterministic
    assert asked == [deterministic]


def batch(commands, stage, command, arguments, tmp_path):
    finished = commands(stage, command, *arguments, "--input", tmp_path / "in", "--output", tmp_path / "batch")
    assert finished.code == 0, finished.stderr


def test_pipes_carry_what_translate_run_makes(commands, translator, raw, tmp_path):
    """Two named pipes, a giver and a taker of their own; blue first on both sides."""
    batch(commands, "translate", "run", translator, tmp_path)
    expected = b"".join(read_image(tmp_path / f"batch/{number}.png")[..., ::-1].tobytes() for number in range(4))
    frames = b"".join(picture(number)[..., ::-1].tobytes() for number in range(4))
    got = []
    for name in ("in.pipe", "out.pipe"):
        os.mkfifo(tmp_path / name)
    threads = [
        threading.Thread(target=lambda: (tmp_path / "in.pipe").write_bytes(frames)),
        threading.Thread(target=lambda: got.append((tmp_path / "out.pipe").read_bytes())),
    ]
    for thread in threads:
        thread.start()
    pipes = ("--input", tmp_path / "in.pipe", "--output", tmp_path / "out.pipe")
    finished = commands("translate", "stream", *translator, *pipes, "--size", *SIZE, "--pixels", "bgr24")
    for thread in threads:
        thread.join()
    assert finished.code == 0 and finished.stdout == "", finished.stderr
    assert got == [expected]
    assert finished.stderr.startswith("translate: torch, exact, ") and ENDING.search(finished.stderr)


def test_label_maps_are_those_of_segment_predict(commands, segmenter, raw, tmp_path):
    batch(commands, "segment", "predict", segmenter, tmp_path)
    pipes = ("--input", raw, "--output", tmp_path / "ids", "--size", *SIZE, "--labels", "train_ids")
    finished = commands("segment", "stream", *segmenter, *pipes)
    assert finished.code == 0, finished.stderr
    expected = b"".join(read_raw(tmp_path / f"batch/labels/{number}.png").tobytes() for number in range(4))
    assert (tmp_path / "ids").read_bytes() == expected and len(expected) == 4 * 48 * 32
    assert finished.stderr.startswith("predict: ") and ENDING.search(finished.stderr)


@pytest.mark.parametrize("stage", ["translate", "segment"])
def test_a_film_becomes_a_film_of_the_same_times(request, commands, tmp_path, stage):
    source = film(tmp_path / "a.mkv", times=[512 * number for number in (*range(9), 12)])
    options = request.getfixturevalue({"translate": "translator", "segment": "segmenter"}[stage])
    finished = commands(stage, "stream", *options, "--input", source, "--output", tmp_path / "b.mp4")
    assert finished.code == 0, finished.stderr
    assert seconds(tmp_path / "b.mp4") == pytest.approx(seconds(source), abs=0.001)
    assert len(frames_of(tmp_path / "b.mp4")) == FRAMES
    assert f"{FRAMES} frames in, {FRAMES} out" in finished.stderr


def test_a_frame_that_is_cut_off_costs_itself_and_exit_code_3(commands, translator, raw, tmp_path):
    raw.write_bytes(raw.read_bytes()[:-100])
    finished = commands(
        "translate", "stream", *translator, "--input", raw, "--output", tmp_path / "out", "--size", *SIZE
    )
    assert finished.code == 3 and (tmp_path / "out").stat().st_size == 3 * BYTES
    assert "frame 4 is cut off: 4508 of its 4608 bytes came\n" in finished.stderr
    assert "4 frames in, 3 out, 0 dropped, 1 lost\n" in finished.stderr
    assert finished.stderr.endswith("error: frames lost: 1 of 4; see above\n")


def test_a_signal_ends_it_with_what_was_read(commands, translator, raw, tmp_path):
    """SIGTERM while the second picture is written to a film: the film is whole."""
    trap = {"call": "pipelines.data.video.outgoing.VideoSink.write", "at": 2, "signal_name": "SIGTERM"}
    pipes = ("--input", raw, "--output", tmp_path / "out.mp4", "--size", *SIZE)
    finished = commands("translate", "stream", *translator, *pipes, trap=trap)
    assert finished.code == 0, finished.stderr
    written = len(frames_of(tmp_path / "out.mp4"))
    assert written >= 2 and f"{written} out, 0 dropped, 0 lost" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--size", 48, 32, "--input-format", "mjpeg"], 2, "--size is for raw frames and --input-format for all else"),
        (["--size", 48], 2, "Option '--size' requires 2 arguments"),
        (["--when-behind", "panic"], 2, "'panic' is not one of 'queue', 'drop'"),
        ([], 2, "cannot be opened: Invalid data found when processing input. Expected a video, an address"),
    ],
)
def test_what_cannot_be_streamed_is_refused(commands, translator, raw, tmp_path, arguments, code, message):
    finished = commands("translate", "stream", *translator, "--input", raw, "--output", tmp_path / "out", *arguments)
    assert finished.code == code and message in finished.stderr and "Traceback" not in finished.stderr


@pytest.mark.parametrize("rate", ["nan", "inf", "0", "-1", "1e9"])
def test_a_rate_that_is_none_is_refused_before_anything_is_opened(rate):
    words = ("--checkpoint", "nowhere", "--input", "-", "--output", "-", "--rate", rate)
    with pytest.raises(click.BadParameter, match=r"range 0\.01<=x<=1000"):
        translate_stream.main(words, standalone_mode=False)


@pytest.mark.parametrize("command", [translate_stream, segment_stream])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.mp4", "out.mp4"), "--input none.mp4 does not exist; check the path"),
        (("none", "out.mp4", "--size", 48, 32), "--input none does not exist; check the path"),
        (("raw.mp4", "out.mp4", "--size", 48, 32), "--input raw.mp4 is a video, which brings its size along"),
        (("-", "out.mp4", "--size", 100_000, 100_000), "--size 100000 100000 is no size that we read; expected up to"),
        (("raw", "raw", "--size", 48, 32), "--output raw exists; choose another name"),
        (("raw", "out.avi", "--size", 48, 32), "--output out.avi: a video is written as one of .mp4"),
        (("raw", "no/out", "--size", 48, 32), "--output no/out cannot be written: there is no folder no; make it"),
        (("raw.mp4", "out.mp4", "--pixels", "bgr24"), "--pixels bgr24: neither --input nor --output is raw; leave it"),
        (("raw", "out", "--size", 48, 32, "--rate", 10), "--rate 10: raw pictures have no times; leave it out"),
        (("rtsp://camera/main", "-", "--rate", 10), "--rate 10: raw pictures have no times; leave it out"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_the_checkpoint_is_looked_for(
    monkeypatch, tmp_path, command, arguments, message
):
    monkeypatch.chdir(tmp_path)
    for name in ("raw", "raw.mp4"):
        Path(name).touch()
    source, output, *more = arguments
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        typed(command, "--checkpoint", "nowhere", "--input", source, "--output", output, *more)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_while_the_network_is_loaded_is_an_ordinary_end(monkeypatch, signal_number):
    """Exit code 75 would say that the same command carries on."""
    former = signal.getsignal(signal_number)

    def load(computer):
        os.kill(os.getpid(), signal_number)
        raise AssertionError("it was loaded")

    monkeypatch.setattr(Computer, "open", load)
    words = ("--checkpoint", "nowhere", "--input", "-", "--size", "48", "32", "--output", "-")
    with pytest.raises(SystemExit) as left:
        translate_stream.main(words, standalone_mode=False)
    assert left.value.code == 0 and signal.getsignal(signal_number) is former


def test_no_frame_is_no_failure_where_a_stop_was_asked_for():
    report(StreamCounts(), "-", None, stopped=True)
    with pytest.raises(NoInputsError, match=r"^no frame came from --input -$"):
        report(StreamCounts(), "-", None, stopped=False)


def test_no_frames_and_an_output_that_exists(commands, translator, segmenter, raw, tmp_path):
    pipes = ("--input", raw, "--size", *SIZE)
    finished = commands("translate", "stream", *translator, *pipes, "--output", raw)
    assert finished.code == 2 and "raw exists; choose another name" in finished.stderr
    finished = commands("segment", "stream", *segmenter, *pipes, "--output", "o.mp4", "--labels", "label_ids")
    assert finished.code == 2 and "--labels label_ids: a video would change ids at every border" in finished.stderr
    raw.write_bytes(b"")
    finished = commands("translate", "stream", *translator, *pipes, "--output", tmp_path / "none.mp4")
    assert finished.code == 4 and f"no frame came from --input {raw}" in finished.stderr
    assert not (tmp_path / "none.mp4").exists()


@pytest.fixture
def started(translator):
    """A function: more arguments -> the command on standard input and output, in a process of its own."""
    processes = []

    def start(*more):
        code = "from pipelines.cli import main; main()"
        arguments = [*translator, "--input", "-", "--output", "-", "--size", *SIZE, *more]
        process = subprocess.Popen(
            [sys.executable, "-c", code, "translate", "stream", *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_ctrl_c_while_the_source_is_silent_is_an_ordinary_end(started):
    process = started("--when-behind", "drop")
    for number in range(3):
        process.stdin.write(picture(number).tobytes())
        process.stdin.flush()
        assert len(process.stdout.read(BYTES)) == BYTES, "a picture comes before the next frame is asked for"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    errors = process.stderr.read().decode()
    assert "3 frames in, 3 out, 0 dropped, 0 lost\n" in errors and "Traceback" not in errors


def test_whoever_closes_the_output_ends_it(started):
    process = started()
    giver = threading.Thread(target=give_without_end, args=[process.stdin])
    giver.start()
    assert len(process.stdout.read(BYTES)) == BYTES
    process.stdout.close()
    assert process.wait(60) == 0
    giver.join()
    errors = process.stderr.read().decode()
    assert "the output was closed\n" in errors and "Traceback" not in errors and "Exception" not in errors


def give_without_end(pipe):
    frame = np.zeros(BYTES, np.uint8).tobytes()
    try:
        while True:
            pipe.write(frame)
    except BrokenPipeError:
        return
