"""Pictures into pipes and films: every byte and time, and nothing of somebody else's lost."""

import errno
import os
import sys
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.video import outgoing
from pipelines.data.video.incoming import read_opened, read_raw
from pipelines.data.video.outgoing import open_sink
from pipelines.errors import Interrupted, StorageError, UserError
from tests.pipelines.data.video.films import SIZE, av, frames_of, named_rate, picture, raw, seconds


def refuse(reason):
    raise AssertionError(reason)


def test_without_pyav_the_extra_is_named_and_raw_frames_do_without(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "in").write_bytes(raw(1))
    with pytest.raises(UserError, match=r"videos need PyAV: pip install 'sim2real\[video\]'"):
        next(read_opened(str(tmp_path / "in"), refuse))
    with pytest.raises(UserError, match="videos need PyAV"), open_sink(str(tmp_path / "out.mp4")):
        pass
    with open_sink(str(tmp_path / "out")) as sink:
        for frame in read_raw(str(tmp_path / "in"), SIZE, refuse):
            sink.write(frame.pixels, frame.seconds)
    assert (tmp_path / "out").read_bytes() == raw(1)


def test_raw_pictures_of_every_kind(tmp_path):
    with open_sink(str(tmp_path / "bgr"), "bgr24") as sink:
        sink.write(picture(0), 0)
    assert (tmp_path / "bgr").read_bytes() == raw(1, "bgr24")
    ids = np.arange(6, dtype=np.uint8).reshape(2, 3)
    with open_sink(str(tmp_path / "ids")) as sink:
        sink.write(ids, 0)
        sink.write(ids.T, 1)
    assert (tmp_path / "ids").read_bytes() == bytes([0, 1, 2, 3, 4, 5, 0, 3, 1, 4, 2, 5])


def test_a_film_keeps_the_times_of_its_pictures(tmp_path):
    """Of frames that were left out the place stays empty; a time that does not rise is moved on by 1 ms."""
    for name in ("a.mp4", "a.mkv", "a.webm"):
        with open_sink(str(tmp_path / name), rate=10) as sink:
            for number, second in enumerate((0, 0.1, 0.1, 0.5)):
                sink.write(picture(number), second)
        assert [round(second, 3) for second in seconds(tmp_path / name)] == [0, 0.1, 0.101, 0.5], name
        found = frames_of(tmp_path / name)
        assert np.abs(found[3].astype(int) - picture(3)).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "a.mp4", "a.webm"]


def test_a_film_begins_with_its_first_picture(tmp_path):
    """Of a source that has run for eleven hours it would show nothing for as long."""
    for name in ("a.mp4", "a.mkv", "a.webm"):
        with open_sink(str(tmp_path / name)) as sink:
            for number, second in enumerate((39600.4, 39600.44, 39600.6)):
                sink.write(picture(number), second)
        assert [round(second, 3) for second in seconds(tmp_path / name)] == [0, 0.04, 0.2], name


@pytest.mark.parametrize(
    ("told", "of_source", "named"),
    [(None, 10, 10), (20, 10, 20), (None, None, 25), (None, 90_000, 25), (None, 30_000 / 1001, Fraction(30_000, 1001))],
)
def test_a_film_names_the_rate_that_it_was_told_or_its_sources(tmp_path, told, of_source, named):
    """Whoever cuts the film into images by what it names gets each picture once. No film has 90000 a second."""
    with open_sink(str(tmp_path / "a.mkv"), rate=told) as sink:
        for number in range(3):
            sink.write(picture(number), number / 10, of_source)
    assert named_rate(tmp_path / "a.mkv") == pytest.approx(float(named), abs=1e-3)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0, -25, 1e-9, 1e9])
def test_a_rate_that_films_cannot_have_is_refused(tmp_path, rate):
    with (
        pytest.raises(UserError, match=rf"^rate is {rate}; expected 0\.01 to 1000 frames a second$"),
        open_sink(str(tmp_path / "a.mp4"), rate=rate),
    ):
        raise AssertionError("it was opened")


@pytest.mark.parametrize("rate", [0.01, 1000.0])
def test_the_slowest_and_the_fastest_film_are_films(tmp_path, rate):
    with open_sink(str(tmp_path / "a.mp4"), rate=rate) as sink:
        for number in range(3):
            sink.write(picture(number), number / rate)
    assert seconds(tmp_path / "a.mp4") == pytest.approx([0, 1 / rate, 2 / rate])


def test_a_film_whose_name_is_as_long_as_names_may_be(tmp_path):
    path = tmp_path / ("a" * 251 + ".mp4")
    with open_sink(str(path)) as sink:
        sink.write(picture(0), 0)
    assert len(frames_of(path)) == 1
    path.unlink()
    with pytest.raises(UserError, match=r"/a{50}\.kept-1\.mp4$"), open_sink(str(path)) as sink:
        sink.write(picture(0), 0)
        path.touch()


def test_a_film_of_odd_sides(tmp_path):
    with open_sink(str(tmp_path / "a.mp4")) as sink:
        sink.write(picture(0, 33, 49), 0)
    assert frames_of(tmp_path / "a.mp4")[0].shape == (33, 49, 3)


def test_a_picture_of_another_size_than_the_films_is_refused(tmp_path):
    """It would be stretched, without a word."""
    reason = r"a\.mp4: a picture is 64x40, the film's first was 48x32; a film has one size"
    with pytest.raises(UserError, match=reason), open_sink(str(tmp_path / "a.mp4")) as sink:
        sink.write(picture(0), 0)
        sink.write(picture(1, 40, 64), 0.04)
    assert not list(tmp_path.iterdir())


def test_a_film_of_grey_pictures(tmp_path):
    grey = picture(0)[..., 0]
    with open_sink(str(tmp_path / "a.mp4")) as sink:
        sink.write(grey, 0)
    (found,) = frames_of(tmp_path / "a.mp4")
    assert np.abs(found.astype(int) - grey[..., None]).mean() < 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.webm"])
def test_a_film_names_the_matrix_of_its_colours(tmp_path, name):
    """Else players guess, from 720 lines on another one: red turns orange."""
    with open_sink(str(tmp_path / name)) as sink:
        sink.write(picture(0), 0)
    with av.open(str(tmp_path / name)) as container:
        (frame,) = container.decode(video=0)
    assert frame.colorspace == outgoing.BT_601


def test_a_film_that_fails_or_has_no_pictures_is_not_made(tmp_path):
    with open_sink(str(tmp_path / "none.mp4")):
        pass
    with pytest.raises(KeyError), open_sink(str(tmp_path / "failed.mp4")) as sink:
        sink.write(picture(0), 0)
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_two_films_of_one_name_are_not_made_at_once(tmp_path):
    """The second is refused at its first picture, and the first one stays; a third finds it there."""
    path = tmp_path / "new/a.mp4"
    with open_sink(str(path)) as third:
        with open_sink(str(path)) as first, open_sink(str(path)) as second:
            assert not path.parent.exists(), "of no pictures nothing is left, no folder either"
            first.write(picture(0), 0)
            with pytest.raises(UserError, match=r"a\.mp4: another process is making it; choose another name$"):
                second.write(picture(1), 0)
        assert len(frames_of(path)) == 1
        with pytest.raises(UserError, match=r"a\.mp4 exists; choose another name$"):
            third.write(picture(1), 0)
    assert len(frames_of(path)) == 1 and [one.name for one in path.parent.iterdir()] == ["a.mp4"]


def test_a_file_that_appears_under_a_films_name_is_left_and_so_is_the_film(tmp_path):
    path, kept = tmp_path / "a.mp4", tmp_path / "a.kept-2.mp4"
    (tmp_path / "a.kept-1.mp4").write_text("mine, too")
    message = rf"^--output {path}: a file of this name has appeared meanwhile and is left as it is; the film is {kept}$"
    with pytest.raises(UserError, match=message), open_sink(str(path)) as sink:
        sink.write(picture(0), 0)
        path.write_text("mine")
    assert path.read_text() == "mine" and len(frames_of(kept)) == 1 and len(list(tmp_path.iterdir())) == 3


def test_what_a_killed_stream_leaves_is_written_over(tmp_path):
    """However it ends, nobody holds its part any more. It was longer than the new film."""
    path = tmp_path / "a.mp4"
    (tmp_path / ".a.mp4.part").write_bytes(b"mdat" * 100_000)
    with open_sink(str(path)) as sink:
        sink.write(picture(0), 0)
    assert len(frames_of(path)) == 1 and path.stat().st_size < 100_000
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_what_fails_beside_a_film_is_not_laid_to_the_disk(tmp_path, monkeypatch):
    """A simulator that does not answer is an OSError, too; the disk's own are told as such."""
    with pytest.raises(TimeoutError, match=r"^the simulator$"), open_sink(str(tmp_path / "a.mp4")) as sink:
        sink.write(picture(0), 0)
        raise TimeoutError("the simulator")
    assert not list(tmp_path.iterdir())

    def full(part, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outgoing, "settle", full)
    with (
        pytest.raises(StorageError, match=r"a\.mp4: cannot write: No space left"),
        open_sink(str(tmp_path / "a.mp4")) as sink,
    ):
        sink.write(picture(0), 0)
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_written_over_and_a_device_is_a_pipe(tmp_path):
    (tmp_path / "there").write_text("mine")
    with pytest.raises(UserError, match="there exists; choose another name"), open_sink(str(tmp_path / "there")):
        pass
    assert (tmp_path / "there").read_text() == "mine"
    with open_sink("/dev/null") as sink:
        sink.write(picture(0), 0)
    with pytest.raises(UserError, match=r"cannot be written: there is no folder"), open_sink(str(tmp_path / "no/pipe")):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told_with_the_name_of_the_output():
    with (
        open_sink("/dev/full") as sink,
        pytest.raises(StorageError, match=r"^--output /dev/full cannot be written: No space left on device"),
    ):
        sink.write(np.zeros((2, 2, 3), np.uint8), 0.0)


@pytest.mark.parametrize("name", ["a.avi", "a.GIF", "a.png"])
def test_raw_pictures_get_no_name_of_a_video_or_an_image(tmp_path, name):
    with (
        pytest.raises(UserError, match=f"--output .*{name}: a video is written as one of .mp4, .*, and under any oth"),
        open_sink(str(tmp_path / name)),
    ):
        raise AssertionError("it was opened")
    assert not (tmp_path / name).exists()


def test_no_pictures_leave_no_raw_file(tmp_path):
    with open_sink(str(tmp_path / "new.raw")):
        assert (tmp_path / "new.raw").exists()
    assert not (tmp_path / "new.raw").exists()
    with pytest.raises(KeyError), open_sink(str(tmp_path / "failed.raw")) as sink:
        sink.write(np.zeros((2, 2, 3), np.uint8), 0.0)
        raise KeyError
    assert (tmp_path / "failed.raw").read_bytes() == bytes(12)


def test_a_pipe_that_nobody_reads_is_waited_for_until_a_stop(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    asked = iter([False, False, True])
    with (
        pytest.raises(Interrupted, match=r"^nobody has opened the pipe --output .*pipe for reading$"),
        open_sink(str(tmp_path / "pipe"), stop_requested=lambda: next(asked)),
    ):
        raise AssertionError("it was opened")
    assert next(asked, None) is None


def test_a_pipe_that_is_read_late_gets_everything(tmp_path):
    """More than a pipe holds: whoever writes waits for the reader, as with any pipe."""
    os.mkfifo(tmp_path / "pipe")
    large, read = np.arange(3 * 400 * 400, dtype=np.uint32).astype(np.uint8).reshape(400, 400, 3), []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    asked = []

    def stop_requested():
        if len(asked) == 1:
            reader.start()
        asked.append(None)
        return False

    with open_sink(str(tmp_path / "pipe"), stop_requested=stop_requested) as sink:
        sink.write(large, 0.0)
    reader.join()
    assert read == [large.tobytes()] and len(asked) >= 2


def test_a_pipe_with_the_name_of_a_film_stays_a_pipe(tmp_path):
    """A film that gets its name at the end would take the pipe's place, and its reader would wait for ever."""
    path = tmp_path / "out.mp4"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open_sink(str(path)) as sink:
        sink.write(picture(0), 0)
    assert path.is_fifo() and os.read(reader, 10_000) == raw(1)
    os.close(reader)


def test_nobody_reads_the_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with open_sink(str(tmp_path / "pipe")) as sink:
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            sink.write(picture(0), 0)
