"""Worker processes: the same batches as without, nothing left behind, and what one line says of one that is lost."""

import errno
import functools
import multiprocessing
import os
import resource
import signal
import socket
import threading
from contextlib import closing
from multiprocessing.process import BaseProcess

import cv2
import numpy as np
import pytest
import torch

from pipelines.data.decoding.decoders import Decoders, supervised_decoding
from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.readers.layout import Frame
from pipelines.data.sampling.batches import Draws, FramePool
from pipelines.data.sampling.unpaired_batches import UnpairedBatches
from pipelines.data.sampling.workers import lost_workers_named, stream
from pipelines.errors import ImageError, NoInputsError, StorageError, UserError
from tests.pipelines.data.sampling.painted import CROPS, Painted, assert_equal, labelled, unpaired


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores are fine here
@pytest.mark.parametrize("make", [unpaired, labelled])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_any_number_of_workers_makes_the_same_batches(make, workers):
    batches = list(stream(make(), 3, 9, workers))
    assert len(batches) == 6
    for step, batch in enumerate(batches, 3):
        assert_equal(batch, make()(step))


def test_workers_start_whatever_threads_opencv_has():
    """A worker forked beside a live OpenCV thread pool used to hang, more often than not."""
    large = np.zeros((1000, 1000, 3), np.uint8)
    threads = cv2.getNumThreads()
    try:
        for _ in range(4):
            cv2.setNumThreads(4)
            cv2.GaussianBlur(large, (0, 0), 3)
            assert len(list(stream(labelled(), 0, 2, 1))) == 2
    finally:
        cv2.setNumThreads(threads)


def test_closing_a_stream_ends_its_workers():
    """They ignore SIGTERM, so nothing else would, and the process could not exit."""
    batches = stream(labelled(), 0, 50, 1)
    next(batches)
    workers = multiprocessing.active_children()
    assert workers
    batches.close()
    assert not any(worker.is_alive() for worker in workers)


def test_closing_a_stream_ends_a_worker_that_comes_to_no_end(monkeypatch):
    """At a file that a disk does not hand over, say."""
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
    begun = multiprocessing.Event()
    batches = stream(lambda step: step if step == 0 else begun.set() or threading.Event().wait(), 0, 50, 1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    assert begun.wait(60)
    batches.close()
    worker.join(60)
    assert worker.exitcode == -signal.SIGKILL


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_workers_that_come_to_no_end_are_ended_together(monkeypatch):
    """torch alone waits for each of them, twice: ten seconds a worker, before a signal's checkpoint is saved."""
    monkeypatch.setattr("pipelines.data.sampling.workers.LAST_MOMENTS", 0.1)
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 3600)
    begun = multiprocessing.Semaphore(0)
    batches = stream(lambda step: step if step < 2 else begun.release() or threading.Event().wait(), 0, 50, 2)
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2 and begun.acquire(timeout=60) and begun.acquire(timeout=60)
    batches.close()
    assert [worker.exitcode for worker in workers] == [-signal.SIGKILL] * 2


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_what_breaks_off_the_start_of_workers_leaves_none(monkeypatch):
    """A signal, say. They ignore SIGTERM, and the process would wait for them as long as they live."""
    start, started = BaseProcess.start, []

    def interrupted(worker):
        start(worker)
        started.append(worker)
        if len(started) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(BaseProcess, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(stream(labelled(), 0, 4, 3))
    assert [worker.exitcode for worker in started] == [-signal.SIGKILL] * 2


def test_a_signal_that_comes_while_workers_start_ends_all(monkeypatch):
    start, started = BaseProcess.start, []

    def signalled(worker):
        start(worker)
        started.append(worker)
        os.kill(os.getpid(), signal.SIGUSR1)

    def break_off(number, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseProcess, "start", signalled)
    former = signal.signal(signal.SIGUSR1, break_off)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(stream(labelled(), 0, 4, 2))
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert len(started) == 2 and not any(worker.is_alive() for worker in started)


def test_a_worker_that_a_signal_meets_before_it_ignores_signals_says_nothing(monkeypatch, capfd):
    """A terminal's Ctrl-C goes to all, and a worker begins with its parent's handlers."""
    begin = torch.utils.data._utils.signal_handling._set_worker_signal_handlers

    def signalled():
        begin()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGUSR1)

    def break_off(number, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.utils.data._utils.signal_handling, "_set_worker_signal_handlers", signalled)
    former = {number: signal.signal(number, break_off) for number in (signal.SIGINT, signal.SIGUSR1)}
    try:
        assert list(stream(lambda step: step, 0, 3, 1)) == [0, 1, 2]
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & former.keys()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert capfd.readouterr().err == ""


def test_a_worker_whose_batch_is_not_taken_to_its_end_says_nothing(monkeypatch, capfd):
    """A signal may break the parent off while a worker hands it a piece of shared memory."""
    rebuild = torch.multiprocessing.reductions.rebuild_storage_fd

    @functools.wraps(rebuild)  # the worker sends it by its name
    def breaks_off_once(kind, descriptor, size):
        with socket.socket(socket.AF_UNIX) as broken_off:
            broken_off.connect(descriptor._id[0])
        return rebuild(kind, descriptor, size)  # whoever comes next waits until the worker has seen that one off

    monkeypatch.setattr(torch.multiprocessing.reductions, "rebuild_storage_fd", breaks_off_once)
    assert len(list(stream(labelled(), 0, 2, 1))) == 2
    assert capfd.readouterr().err == ""


def test_making_batches_leaves_torchs_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(stream(labelled(), 0, 2, 0))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_worker_whose_decoder_dies_names_the_file(tmp_path):
    write_image(tmp_path / "abort.png", np.zeros((4, 6, 3), np.uint8))
    frames = FrameSet("x", tmp_path, [Frame("abort", tmp_path / "abort.png", None, None)], [])
    pool = FramePool([frames], height=4, kept_bytes=0)
    with (
        supervised_decoding(Decoders("tests.pipelines.data.decoding.misbehaving_decoder")),
        closing(stream(pool.image, 0, 1, workers=1)) as batches,
        pytest.raises(ImageError, match=r"abort\.png: the decoder crashed on it \(SIGABRT\)"),
    ):
        next(batches)


def test_batches_that_find_no_shared_memory_come_all_the_same():
    """No file may have more than 1000 bytes, and shared memory is one: torch's queue would drop the batch."""
    make = labelled()

    def without_shared_memory(step):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        return make(step)

    for step, batch in enumerate(stream(without_shared_memory, 0, 3, 1)):
        assert_equal(batch, make(step))
        assert batch.image.nbytes > 1000 and not batch.image.is_shared()
    assert next(stream(make, 0, 1, 1)).image.is_shared(), "the usual way"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SIGKILL", "learning: a process that makes batches was killed, most likely for want of memory. Use fewer "),
        ("SIGSEGV", "learning: a process that makes batches crashed (Segmentation fault). Use --workers 0; the last "),
    ],
)
def test_a_worker_that_a_signal_ends_is_told_in_a_line(name, said):
    def ends_in_step_two(step):
        if step == 2:
            os.kill(os.getpid(), getattr(signal, name))
        return step

    with pytest.raises(UserError) as told, lost_workers_named("learning", "runs/x"):
        list(stream(ends_in_step_two, 0, 4, 1))
    assert str(told.value).startswith(said) and "kept in runs/x, and the same command carries on" in str(told.value)


def test_a_worker_lost_while_it_hands_a_batch_over_is_told_in_a_line(monkeypatch):
    """A process that ends closes its files first: who reads them hears of that before a signal tells of its end."""

    def ends_within(iterator, timeout=0):
        (worker,) = multiprocessing.active_children()
        worker.kill()
        raise EOFError

    batches = stream(lambda step: step, 0, 4, 1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        next(batches)
        monkeypatch.setattr(torch.utils.data.dataloader._MultiProcessingDataLoaderIter, "_try_get_data", ends_within)
        with pytest.raises(UserError, match="that makes batches was killed"), lost_workers_named("learning", "runs/x"):
            next(batches)
    finally:
        batches.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_ends_too_soon_is_no_lost_worker(workers):
    def reads(step):
        raise EOFError("the file ends here")

    with pytest.raises(EOFError, match="the file ends here"):
        next(stream(reads, 0, 1, workers))


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOMEM, StorageError), (errno.EAGAIN, UserError)])
def test_where_the_second_worker_cannot_be_started_the_first_is_ended(monkeypatch, capfd, number, kind):
    """It ignores SIGTERM, and the process would wait for it as long as it lives."""
    fork, started = os.fork, []

    def only_once():
        if started:
            raise OSError(number, os.strerror(number))
        started.append(fork())
        return started[0]

    monkeypatch.setattr(os, "fork", only_once)
    with pytest.raises(UserError, match=r"no processes to make batches can be had: .* fewer --workers") as told:
        next(stream(labelled(), 0, 4, 2))
    assert type(told.value) is kind
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)
    assert capfd.readouterr().err == ""


def test_other_errors_are_no_lost_workers():
    with pytest.raises(RuntimeError, match="shapes differ"), lost_workers_named("learning", "runs/x"):
        raise RuntimeError("shapes differ")


def test_an_error_in_a_worker_reaches_the_loop():
    class Broken(Painted):
        def read_image(self, index):
            raise NoInputsError("frame.png: cannot be read")

    batches = UnpairedBatches(FramePool([Broken(2)], 16), FramePool([Painted(2)], 16), Draws(0, 1), CROPS)
    with pytest.raises(NoInputsError, match=r"frame\.png"):
        next(stream(batches, 0, 2, 1))


def unreadable_from_step_two(step):
    if step >= 2:
        raise ImageError("x.png: cut off")
    return step


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_file_is_told_in_the_same_words_whichever_process_met_it(workers):
    """DataLoader would put a worker's traceback into the message."""
    batches = stream(unreadable_from_step_two, 0, 4, workers)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(ImageError) as error:
        next(batches)
    assert str(error.value) == "x.png: cut off"
