"""Networks as functions of a frame: the commands' results to the bit, and what is not a frame refused in one line."""

import threading

import numpy as np
import pytest
import torch

from pipelines import runtimes
from pipelines.data.images import read_image, read_raw, write_image
from pipelines.engine.capabilities import Capabilities
from pipelines.errors import CheckpointError, UserError
from pipelines.runtimes import live, open_segmenter, open_translator
from tests.pipelines.certain import certain_segmenter


def paint(seed, height=24, width=40):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


FRAMES = [paint(seed) for seed in range(3)] + [paint(3, 33, 18)]


@pytest.fixture
def folder(tmp_path):
    for number, frame in enumerate(FRAMES):
        write_image(tmp_path / f"in/{number}.png", frame)
    return tmp_path / "in"


@pytest.fixture
def translator(tiny_run):
    return tiny_run / "seed-0/translator"


@pytest.fixture
def segmenter(tiny_run):
    return tiny_run / "seed-0/translated_net"


@pytest.fixture
def translate(translator, cpu):
    with open_translator(translator, device="cpu") as opened:
        yield opened


@pytest.fixture
def segment(segmenter, cpu):
    with open_segmenter(segmenter, device="cpu") as opened:
        yield opened


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ([], {}),
        (["--height", 16], {"height": 16}),
        (["--size", 32, 16], {"size": (32, 16)}),
        (["--direction", "target_to_source"], {"direction": "target_to_source"}),
        (["--fast"], {"fast": True}),
        (["--precision", "bf16"], {"precision": "bf16"}),
    ],
)
@pytest.mark.filterwarnings("ignore:--precision bf16")
def test_a_translated_frame_is_that_of_the_command(commands, translator, folder, tmp_path, cpu, typed, options):
    finished = commands(
        *("translate", "run", "--checkpoint", translator, "--input", folder, "--output", tmp_path / "out"),
        *("--device", "cpu", "--threads", 1, *typed),
    )
    assert finished.code == 0, finished.stderr
    with open_translator(translator, device="cpu", **options) as translate:
        for number, frame in enumerate(FRAMES):
            assert np.array_equal(translate(frame), read_image(tmp_path / f"out/{number}.png")), number


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        ([], {}),
        (["--runtime", "torch", "--fast"], {"runtime": "torch", "fast": True}),
        (["--runtime", "torch", "--height", 16, "--flip"], {"runtime": "torch", "height": 16, "flip": True}),
    ],
)
def test_a_label_map_is_that_of_the_command(commands, segmenter, folder, tmp_path, cpu, typed, options):
    finished = commands(
        *("segment", "predict", "--checkpoint", segmenter, "--input", folder, "--output", tmp_path / "out"),
        *("--device", "cpu", "--threads", 1, "--no-overlays", *typed),
    )
    assert finished.code == 0, finished.stderr
    with open_segmenter(segmenter, device="cpu", **options) as segment:
        for number, frame in enumerate(FRAMES):
            assert np.array_equal(segment(frame), read_raw(tmp_path / f"out/labels/{number}.png")), number


def test_several_segmenters_answer_as_one(segmenter, cpu, tmp_path):
    """The second sees everywhere what the first sees nowhere."""

    def answer(paths, **weights):
        return open_segmenter(paths, device="cpu", runtime="torch", **weights)(FRAMES[0])

    first = answer(segmenter)
    label = min(set(range(19)) - set(first.flat))
    paths = [segmenter, certain_segmenter(tmp_path, label)]
    both = answer(paths, weights=(1e6, 1))
    assert (both == first).mean() > 0.99 and both.dtype == np.uint8 and both.shape == (24, 40)
    assert (answer(paths, weights=(1, 1e6)) == label).all()


def test_a_batch_and_overlapped_frames_are_the_frames_one_by_one(translate, segment):
    one_by_one = [translate(frame) for frame in FRAMES]
    for found, expected in zip(translate.batch(FRAMES[:3]), one_by_one[:3], strict=True):
        assert np.abs(found.astype(int) - expected).max() <= 1  # sums of other sizes are taken in another order
    assert translate.batch([]) == []
    with translate.overlapped(iter(FRAMES)) as translated:
        assert all(np.array_equal(found, one) for found, one in zip(translated, one_by_one, strict=True))
    with segment.overlapped(FRAMES) as label_maps:
        assert all(np.array_equal(found, segment(one)) for found, one in zip(label_maps, FRAMES, strict=True))


def test_a_view_of_a_frame_is_a_frame(translate):
    frame = FRAMES[0]
    bgr = np.ascontiguousarray(frame[..., ::-1])
    assert np.array_equal(translate(bgr[..., ::-1]), translate(frame))
    before = frame.copy()
    translate(frame)
    assert np.array_equal(frame, before)


def test_threads_wait_for_each_other(translate):
    expected, found = [translate(frame) for frame in FRAMES], {}

    def use(number):
        for _ in range(3):
            found[number] = translate(FRAMES[number])

    threads = [threading.Thread(target=use, args=[number]) for number in range(len(FRAMES))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[number], one) for number, one in enumerate(expected))


@pytest.mark.parametrize(
    ("frame", "kind", "message"),
    [
        ([[0, 0, 0]], TypeError, r"a frame is a list; expected a numpy array, uint8 \(height, width, 3\) RGB"),
        (np.zeros((4, 4, 3), np.float32), TypeError, r"a frame is float32 \(4, 4, 3\); expected uint8"),
        (np.zeros((4, 4), np.uint8), ValueError, r"of shape \(4, 4\); expected \(height, width, 3\), RGB$"),
        (np.zeros((4, 4, 4), np.uint8), ValueError, r"drop the fourth channel: frame\[\.\.\., :3\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), ValueError, r"give several frames to \.batch"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, r"of shape \(0, 4, 3\)"),
    ],
)
def test_what_is_no_frame_is_refused_in_one_line(translate, segment, frame, kind, message):
    for network in (translate, segment):
        with pytest.raises(kind, match=message) as refusal:
            network(frame)
        assert "\n" not in str(refusal.value)


def test_a_batch_of_several_shapes_is_refused(translate):
    with pytest.raises(ValueError, match=r"several shapes \(\(24, 40, 3\), \(33, 18, 3\)\)"):
        translate.batch([FRAMES[0], FRAMES[3]])


def test_closed_is_closed(translator, cpu):
    with open_translator(translator, device="cpu") as translate:
        translate(FRAMES[0])
    with pytest.raises(ValueError, match="this network is closed; open it again"):
        translate(FRAMES[0])
    translate.close()


def test_random_numbers_go_on_as_before(translator, segmenter, cpu):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    open_translator(translator, device="cpu")
    open_segmenter(segmenter, device="cpu", runtime="torch")
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (64, 32), "height": 32}, "size and height: give one of them"),
        ({"size": (64,)}, r"size is \(64,\); expected whole pixels, 1 at least: width, height"),
        ({"size": 64}, "size is 64; expected whole pixels, 1 at least: width, height"),
        ({"size": (64.0, 32.0)}, r"size is \(64.0, 32.0\); expected whole pixels, 1 at least: width, height"),
        ({"height": 0}, "height is 0; expected whole pixels, 1 at least$"),
        ({"height": 16.0}, "height is 16.0; expected whole pixels, 1 at least$"),
        ({"runtime": "onnxruntime"}, "runtime is 'onnxruntime'; expected one of 'torch', 'compile', 'openvino'$"),
        (
            {"runtime": "onnxruntime", "precision": "bf16"},
            "runtime is 'onnxruntime'; expected one of 'torch', 'compile', 'openvino'$",
        ),
        ({"direction": "sideways"}, "--direction sideways: .* it has learnt source_to_target, target_to_source"),
        ({"precision": "half"}, "precision is 'half'; expected 'auto', 'fp32' or 'bf16'"),
        ({"device": "gpu"}, "--device gpu: expected auto, cpu, cuda"),
    ],
)
@pytest.mark.filterwarnings("ignore:--precision bf16")
def test_what_cannot_be_opened_so_is_refused(translator, options, message):
    with pytest.raises(UserError, match=message):
        open_translator(translator, **{"device": "cpu", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "bogus"}, "runtime is 'bogus'; expected one of 'torch', 'compile', 'onnxruntime', 'openvino'$"),
        ({"runtime": "bogus", "flip": True}, "runtime is 'bogus'; expected one of"),
        ({"runtime": ""}, "runtime is ''; expected one of"),
        ({"height": "16"}, "height is '16'; expected whole pixels, 1 at least$"),
    ],
)
def test_a_segmenter_that_cannot_be_opened_so_is_refused(segmenter, options, message):
    with pytest.raises(UserError, match=message):
        open_segmenter(segmenter, **{"device": "cpu", **options})


def test_no_segmenters_at_all_are_refused():
    with pytest.raises(UserError, match=r"^path is empty; expected a run folder or a checkpoint, or several$"):
        open_segmenter([], device="cpu")


@pytest.mark.parametrize("options", [{"size": np.array([32, 16])}, {"size": [32, 16]}, {"height": np.int64(16)}])
def test_pixels_may_be_integers_of_any_kind(translator, cpu, options):
    plain = {"size": (32, 16)} if "size" in options else {"height": 16}
    counted, expected = (open_translator(translator, device="cpu", **given) for given in (options, plain))
    assert np.array_equal(counted(FRAMES[0]), expected(FRAMES[0]))


def test_a_segmenters_height_may_be_an_integer_of_any_kind(segmenter, cpu):
    counted, expected = (
        open_segmenter(segmenter, device="cpu", runtime="torch", height=height) for height in (np.int64(16), 16)
    )
    assert np.array_equal(counted(FRAMES[0]), expected(FRAMES[0]))


def test_a_checkpoint_of_the_other_stage_is_refused(translator, segmenter):
    with pytest.raises(CheckpointError, match="is a segmenter, expected a translator"):
        open_translator(segmenter, device="cpu")
    with pytest.raises(CheckpointError, match="is a translator, expected a segmenter"):
        open_segmenter(translator, device="cpu")


def test_what_is_slow_here_is_warned_of(monkeypatch, translator):
    monkeypatch.setattr("pipelines.engine.launch.capabilities", lambda: Capabilities(("avx2",)))
    with pytest.warns(UserWarning, match="--precision bf16 is slow here"):
        open_translator(translator, device="cpu", precision="bf16")


def test_the_names_that_are_promised():
    assert runtimes.__all__ == ["LiveSegmenter", "LiveTranslator", "open_segmenter", "open_translator"]
    assert runtimes.open_translator is live.open_translator
