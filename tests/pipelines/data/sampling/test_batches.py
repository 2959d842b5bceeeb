"""Batches by step number: the same whoever makes them and in whatever order, in the shares and rounds asked for."""

import errno
import multiprocessing
import os
import resource
import signal
import threading
from contextlib import closing
from dataclasses import replace
from multiprocessing.process import BaseProcess

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.decoding.decoders import Decoders, supervised_decoding
from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.data.sampling.augment import SegmenterAugmentation
from pipelines.data.sampling.batches import (
    Crops,
    Draws,
    FramePool,
    UnpairedBatches,
    largest_height,
    lost_workers_named,
    stream,
)
from pipelines.data.sampling.labelled_batches import LabelledBatches, Mixture
from pipelines.errors import ImageError, NoInputsError, StorageError, UserError
from tests.pipelines.data.sampling.painted import Painted, greys, labelled

CROPS = Crops(16, (8, 8))


def unpaired(batch=2, seed=3, sources=5, targets=7):
    pools = FramePool([Painted(sources)], 16), FramePool([Painted(targets, first=100)], 16)
    return UnpairedBatches(*pools, Draws(seed, batch), CROPS)


def fields(batch):
    return [tensor for tensor in vars(batch).values() if tensor is not None]


def assert_equal(one, other):
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(fields(one), fields(other), strict=True))


# --- a batch is a function of its step --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [unpaired, labelled])
@given(steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_the_order_of_asking_does_not_matter(make, steps):
    asked = make()
    batches = {step: asked(step) for step in steps}
    for step in reversed(steps):
        assert_equal(make()(step), batches[step])


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
    monkeypatch.setattr("pipelines.data.sampling.batches.LAST_MOMENTS", 0.1)
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


@pytest.mark.parametrize("make", [unpaired, labelled])
def test_seeds_differ(make):
    assert not all(torch.equal(a, b) for a, b in zip(fields(make(seed=1)(0)), fields(make(seed=2)(0)), strict=True))


# --- translator ------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_every_frame_comes_once_before_any_comes_again(sources, targets, batch):
    batches = unpaired(batch, seed=1, sources=sources, targets=targets)
    seen = [batches(step) for step in range(12)]
    for domain, count, first in (("source", sources, 0), ("target", targets, 100)):
        order = [grey for one in seen for grey in greys(getattr(one, domain))]
        for start in range(0, len(order) - count + 1, count):
            assert sorted(order[start : start + count]) == [first + i for i in range(count)]


def test_rounds_differ_in_order_and_domains_are_independent():
    batches = unpaired(batch=5, sources=5, targets=5)
    rounds = [(greys(b.source), [grey - 100 for grey in greys(b.target)]) for b in map(batches, range(8))]
    assert len({tuple(source) for source, _ in rounds}) > 4
    assert any(source != target for source, target in rounds)


def test_crops_are_square_floats_of_both_domains():
    batch = unpaired(batch=3)(0)
    assert batch.source.shape == batch.target.shape == (3, 3, 8, 8)
    assert batch.source.dtype == torch.float32 and batch.source.max() <= 1


class Coded(Painted):
    """Every pixel's class tells its place and its frame, and so does its colour: grey = 4 x class."""

    def read_image(self, index):
        return np.repeat(self.label_maps[index][..., None] * np.uint8(4), 3, axis=2)


def coded(first, count=3, size=(16, 24)):
    rows, columns = np.indices(size)
    return Coded(label_maps=[((rows // 4 * 6 + columns // 4 + first + i) % 60).astype(np.uint8) for i in range(count)])


def guided(**settings):
    pools = [FramePool([coded(first)], 32) for first in (0, 10, 20)]
    return UnpairedBatches(pools[0], pools[1], Draws(3, 2), replace(CROPS, **settings), True, labelled_target=pools[2])


def test_labels_follow_the_crop_and_the_flip_of_their_image():
    mirrored = set()
    for step in range(12):
        batch = guided()(step)
        for image, label_map in (
            (batch.source, batch.source_label_map),
            (batch.labelled_target, batch.target_label_map),
        ):
            assert label_map.dtype == torch.int64 and label_map.shape == (2, 8, 8)
            assert torch.equal((image[:, 0] * 255 / 4).round().long(), label_map)
            mirrored |= {bool((row.diff() < 0).any()) for row in label_map[:, 0]}
    assert mirrored == {True, False}


def test_labels_follow_the_scale_of_their_image():
    """Twice the height: every place is eight pixels wide, and bicubic edges apart each has its own class."""
    batch = guided(scale=(2.0, 2.0))(0)
    exact = (batch.source[:, 0] * 255 / 4 - batch.source_label_map).abs() < 0.1
    assert exact.float().mean() >= 0.25  # the inner half of each place, both ways
    assert all(len(label_map.unique()) <= 4 for label_map in batch.source_label_map)


def test_labels_leave_the_images_as_they_are():
    plain, with_labels = UnpairedBatches(guided().source, guided().target, Draws(3, 2), CROPS), guided()
    for step in range(4):
        assert torch.equal(plain(step).source, with_labels(step).source)
        assert torch.equal(plain(step).target, with_labels(step).target)
        assert plain(step).source_label_map is plain(step).labelled_target is plain(step).target_label_map is None


def test_frames_without_labels_are_ignored_throughout():
    source = FramePool([Painted(2, without=(0, 1))], 16)
    source.read_all(labels=True)
    batch = UnpairedBatches(source, FramePool([Painted(2)], 16), Draws(0, 2), CROPS, source_labels=True)(0)
    assert batch.source_label_map.unique().tolist() == [255]


def test_few_labelled_frames_come_in_rounds_of_their_own():
    batches = guided()
    seen = [batches(step).target_label_map.unique().max().item() for step in range(6)]
    assert len(set(seen)) > 1


def test_without_flip_nothing_is_mirrored():
    for step in range(6):
        label_maps = guided(flip=False)(step).source_label_map
        assert (label_maps.diff(dim=2) >= 0).all()


def test_scales_are_drawn_log_uniformly_and_never_below_the_crop():
    crops = Crops(32, (20, 20), (0.5, 2.0))
    batches = UnpairedBatches(FramePool([Painted(2)], 64), FramePool([Painted(2)], 64), Draws(0, 1), crops)
    heights = [batches._height("source", position) for position in range(400)]
    assert min(heights) == 20 and 60 < max(heights) <= 64
    assert np.median(heights) == pytest.approx(32, abs=3)
    assert batches(0).source.shape == (1, 3, 20, 20)


def test_frames_of_any_size_and_shape_fill_the_crop():
    sizes = [(4, 40), (40, 4), (8, 8), (100, 90)]
    frames = Painted(label_maps=[np.zeros(size, np.uint8) for size in sizes])
    batches = UnpairedBatches(FramePool([frames], 16), FramePool([Painted(1)], 16), Draws(0, 4), Crops(16, (12, 12)))
    assert batches(0).source.shape == (4, 3, 12, 12)


# --- frames in memory ------------------------------------------------------------------------------------------


def test_frames_are_reduced_once_and_kept():
    frames = Painted(label_maps=[np.zeros((40, 60), np.uint8)])
    pool = FramePool([frames], 20)
    assert pool.image(0).shape == (20, 30, 3) and pool.label_map(0).shape == (20, 30)
    assert pool.image(0) is pool.image(0) and pool.label_map(0) is pool.label_map(0)
    assert frames.reads == {0: 1}


def test_lower_frames_are_kept_as_they_are():
    assert FramePool([Painted(1, size=(16, 24))], 200).image(0).shape == (16, 24, 3)


def test_no_more_is_kept_than_allowed():
    """Each image takes 16 * 24 * 3 = 1152 bytes: two fit into 2400, and their label maps (384 each) do not."""
    frames = Painted(4)
    pool = FramePool([frames], 16, kept_bytes=2400)
    for _ in range(3):
        for index in range(4):
            assert pool.image(index)[0, 0, 0] == index
    assert frames.reads == {0: 1, 1: 1, 2: 3, 3: 3}
    assert pool.label_map(0)[0, 0] == 0
    assert pool.label_map(0) is not pool.label_map(0)


def test_several_sets_are_one_pool():
    pool = FramePool([Painted(2), Painted(3, first=100)], 16)
    assert [pool.image(index)[0, 0, 0] for index in range(len(pool))] == [0, 1, 100, 101, 102]


@pytest.mark.parametrize("sets", [[], [Painted(0)]])
def test_a_pool_without_frames_is_refused(sets):
    with pytest.raises(NoInputsError, match="no frames to train on"):
        FramePool(sets, 16)


def test_classes_keep_their_ids_from_the_file_to_the_batch(tmp_path):
    ids = np.array([[7, 26], [33, 0]], np.uint8).repeat(8, 0).repeat(8, 1)  # road, car, bicycle, unlabelled
    write_image(tmp_path / "image.png", np.zeros((16, 16, 3), np.uint8))
    write_image(tmp_path / "ids.png", ids)
    frames = FrameSet("one", tmp_path, [Frame("0", tmp_path / "image.png", tmp_path / "ids.png", cityscapes())], [])
    pools, augmentation = {"source": FramePool([frames], 16)}, SegmenterAugmentation(16, (16, 16))
    batch = LabelledBatches(pools, Mixture({"source": 1.0}), Draws(0, 1), augmentation)(0)
    assert batch.label_map[0, ::8, ::8].tolist() == [[0, 13], [18, 255]]


@pytest.mark.parametrize(("scale", "expected"), [(2.0, 256), (1.5, 192), (0.5, 128), (1.001, 129)])
def test_largest_height(scale, expected):
    assert largest_height(128, scale) == expected


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


class TestLabelsWithoutAClass:
    """The loss of such labels is zero throughout: a training on them would end well and have learnt nothing."""

    def test_a_set_of_them_is_refused_before_the_first_step(self):
        nothing, something = Painted(label_maps=[np.full((4, 6), 255, np.uint8)] * 2), Painted(3)
        nothing.name = "empty"
        pool = FramePool([something, nothing], 8)
        pool.read_all(labels=False)
        with pytest.raises(NoInputsError, match=r"no frame of empty shows a class.*nothing to learn from"):
            pool.read_all(labels=True)

    def test_so_is_one_that_is_not_kept_in_memory(self):
        pool = FramePool([Painted(label_maps=[np.full((4, 6), 255, np.uint8)] * 2)], 8, kept_bytes=0)
        with pytest.raises(NoInputsError, match="no frame of painted shows a class"):
            pool.read_all(labels=True)

    def test_a_single_pixel_is_enough_and_frames_without_label_maps_are_no_matter(self):
        label_maps = [np.full((4, 6), 255, np.uint8) for _ in range(2)]
        label_maps[1][0, 0] = 18
        one_pixel, without = FramePool([Painted(label_maps=label_maps)], 8), FramePool([Painted(2, without=(0, 1))], 8)
        one_pixel.read_all(labels=True)
        without.read_all(labels=True)
        assert (one_pixel.label_map(1) != 255).sum() == 1 and (without.label_map(1) == 255).all()


def test_every_frame_has_its_turn_before_any_has_another():
    draws = Draws(seed=3, batch=2)
    rounds = [[draws.frame_at("source", 7 * one + place, 7) for place in range(7)] for one in range(4)]
    assert all(sorted(turns) == list(range(7)) for turns in rounds) and len(set(map(tuple, rounds))) > 1
    assert [draws.frame_at("target", place, 7) for place in range(7)] != rounds[0]


def test_heights_are_drawn_within_the_scale_and_never_below_a_crop():
    """From 0.5 to 2 times 40, but 32 at least."""
    crops = Crops(40, (48, 32), (0.5, 2.0))
    heights = [crops.drawn_height(np.random.default_rng(seed)) for seed in range(200)]
    assert min(heights) == 32 and 70 < max(heights) <= 80 and crops.fixed_height() is None
    assert Crops(40, (48, 32), (1.5, 1.5)).fixed_height() == 60 and Crops(20, (48, 32)).fixed_height() == 32
