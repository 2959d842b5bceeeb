import contextlib
import errno
import os
import select
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.data.decoding import decoders
from pipelines.data.decoding.decoders import Decoder, Decoders, current_decoders, supervised_decoding
from pipelines.data.images import encode_png, read_image, read_image_and_alpha, read_raw_and_palette, write_image
from pipelines.errors import ImageError, StorageError, UserError
from tests.pipelines.data.image_bytes import PHOTO
from tests.pipelines.hangs import HANGS_S

MISBEHAVING = "tests.pipelines.data.decoding.misbehaving_decoder"


@pytest.fixture(scope="module")
def misbehaving():
    """Within it, names of files tell what happens to their decoder."""
    with supervised_decoding(Decoders(MISBEHAVING)):
        yield current_decoders()


@pytest.fixture
def named(tmp_path):
    """A function: a name -> a whole image of that name."""

    def write(name):
        (tmp_path / name).write_bytes(encode_png(PHOTO))
        return tmp_path / name

    return write


def refused(path):
    with pytest.raises(ImageError) as caught:
        read_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert message.endswith("Expected a whole PNG, JPEG, WebP, BMP or TIFF image.")
    return message


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("abort", "the decoder crashed on it (SIGABRT)"),
        ("segfault", "the decoder crashed on it (SIGSEGV)"),
        ("spin", "decoding it took far longer than its size has use for (SIGXCPU)"),
        ("hang", "decoding it came to no end (SIGALRM)"),
        ("bomb", "it takes more memory than there is, or than an image of its size has use for"),
        ("exit", "the decoder ended on it (exit code 3)"),
        ("kill", "what decodes it was killed 2 times, most likely for want of memory (SIGKILL)"),
    ],
)
def test_what_ends_a_decoder_costs_the_file_alone(misbehaving, named, name, reason):
    assert reason in refused(named(f"{name}.png"))
    np.testing.assert_array_equal(read_image(named("next.png")), PHOTO)


def test_a_decoder_that_someone_else_killed_costs_nothing(misbehaving, named, tmp_path):
    path = named("once.png")
    np.testing.assert_array_equal(read_image(path), PHOTO)
    assert path.with_suffix(".mark").exists()


def test_one_that_died_while_nobody_asked_is_replaced(misbehaving, named):
    read_image(named("a.png"))
    (idle,) = misbehaving._idle
    os.kill(idle._process.pid, signal.SIGKILL)
    idle._process.wait()
    np.testing.assert_array_equal(read_image(named("b.png")), PHOTO)
    assert misbehaving._idle != [idle]


def test_threads_have_decoders_of_their_own_and_each_its_own_answer(named, tmp_path):
    images = [np.full((30 + number, 40, 3), number, np.uint8) for number in range(12)]
    for number, image in enumerate(images):
        write_image(tmp_path / f"{number}.png", image)
    both = threading.Barrier(2)

    def read(number):
        if number < 2:
            both.wait(60)
        return read_image(tmp_path / f"{number}.png")

    with supervised_decoding(), ThreadPoolExecutor(2) as pool:
        for found, image in zip(pool.map(read, range(12)), images, strict=True):
            np.testing.assert_array_equal(found, image)
        assert 1 <= len(current_decoders()._idle) <= 2


def test_what_comes_back_is_what_is_decoded_here(tmp_path):
    """Alpha, 16 bits, palettes; and what is refused, word for word."""
    random = np.random.default_rng(0)
    write_image(tmp_path / "rgb.jpg", PHOTO)
    (tmp_path / "alpha.png").write_bytes(encode_png(random.integers(0, 256, (5, 7, 4), np.uint8)))
    (tmp_path / "deep.png").write_bytes(encode_png(random.integers(0, 65536, (5, 7), np.uint16)))
    (tmp_path / "cut.png").write_bytes(encode_png(PHOTO)[:100])
    (tmp_path / "folder.png").mkdir()

    def outcomes():
        for read in (read_image_and_alpha, read_raw_and_palette):
            for name in ("rgb.jpg", "alpha.png", "deep.png", "cut.png", "folder.png", "missing.png"):
                try:
                    yield [None if one is None else (one.dtype, one.tolist()) for one in read(tmp_path / name)]
                except ImageError as error:
                    yield str(error)

    here = list(outcomes())
    with supervised_decoding():
        assert list(outcomes()) == here
        assert len(current_decoders()._idle) == 1, "a refusal costs no process"


def test_pixels_can_be_changed_and_stay_when_the_next_file_is_read(misbehaving, named, tmp_path):
    first = read_image(named("a.png"))
    first[0] = 7
    write_image(tmp_path / "b.png", 255 - PHOTO)
    read_image(tmp_path / "b.png")
    assert (first[0] == 7).all() and (first[1:] == PHOTO[1:]).all()


def test_a_path_is_relative_to_the_folder_of_the_one_who_asks(misbehaving, named, tmp_path, monkeypatch):
    read_image(named("a.png"))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(read_image(named("a.png").relative_to(tmp_path)), PHOTO)


def test_a_system_out_of_descriptors_blames_no_file(misbehaving, named, monkeypatch):
    answer = {"exhausted": [errno.EMFILE, "a.png: cannot read: Too many open files. Raise the limit"]}
    monkeypatch.setattr(Decoder, "ask", lambda *given: answer)
    with pytest.raises(StorageError, match="Raise the limit") as caught:
        read_image(named("a.png"))
    assert caught.value.__cause__.errno == errno.EMFILE


def test_no_process_can_be_started(named, monkeypatch):
    def fails(*arguments, **options):
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(decoders.subprocess, "Popen", fails)
    with supervised_decoding(), pytest.raises(UserError, match="no process to decode images can be started: Resource"):
        read_image(named("a.png"))


def test_a_program_that_is_none_is_told_with_the_way_to_find_out(named):
    with supervised_decoding(Decoders("pipelines.no_such_program")), pytest.raises(UserError, match="says why") as told:
        read_image(named("a.png"))
    assert not isinstance(told.value, ImageError) and "exit code 1" in str(told.value)


def test_a_fork_has_decoders_of_its_own(misbehaving, named):
    read_image(named("a.png"))
    before = [decoder._process.pid for decoder in misbehaving._idle]
    child = os.fork()
    if child == 0:
        signal.alarm(HANGS_S)
        try:
            own = read_image(named("b.png"))
            assert [decoder._process.pid for decoder in misbehaving._idle] != before
            misbehaving.close()
            os._exit(not np.array_equal(own, PHOTO))
        finally:
            os._exit(9)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(read_image(named("c.png")), PHOTO)
    assert [decoder._process.pid for decoder in misbehaving._idle] == before


def test_they_end_with_the_block(named):
    with supervised_decoding():
        read_image(named("a.png"))
        own = current_decoders()
        (decoder,) = own._idle
        assert decoder.alive
    assert not decoder.alive and current_decoders() is not own


def test_they_end_with_their_process(named, tmp_path):
    """However it ends: there is nobody left to ask."""
    path = named("a.png")
    child = os.fork()
    if child == 0:
        with supervised_decoding():
            read_image(path)
            (tmp_path / "pid").write_text(str(current_decoders()._idle[0]._process.pid))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):  # it has ended, and whoever adopted it knows
        decoder = os.pidfd_open(int((tmp_path / "pid").read_text()))
        assert select.select([decoder], [], [], 60)[0], "it waits for a question from nobody"
