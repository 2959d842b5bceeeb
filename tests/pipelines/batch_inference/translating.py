"""A translation in miniature, for every test of translating frames: five frames, a network that inverts them, and
processes that die on the way.
"""

import os
import signal
from dataclasses import fields

import numpy as np
import torch

from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import plan_sets
from pipelines.batch_inference.translation_options import QUALITY
from pipelines.batch_inference.work import JobControl
from pipelines.data.frames import FrameSet
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.errors import StorageError
from pipelines.stages.translating.translate_frames import translate_frames
from pipelines.stages.translating.translate_video import translate_video
from tests.pipelines.hangs import HANGS_S
from translate.networks import GENERATORS
from translate.translator import ImageTranslator

IDENTITY = {"checkpoint_sha256": "c" * 64, "direction": "source_to_target", "precision": "float32"}
NAMES = ["-rf", "a b", "seq1/frame", "seq2/frame", "ä/ö"]


def negative(image):
    return 1 - image


class Counting:
    """A translator that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, image):
        self.calls += 1
        return negative(image)


def small_translator(channels):
    """A translator of real layers, from source to target."""
    torch.manual_seed(0)
    return ImageTranslator({"source_to_target": GENERATORS["resnet6"](base_channels=channels)}).eval()


def paint(seed, height=6, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def as_sets(root):
    frames = [Frame(name, root / f"rgb/{name}.png", root / f"ids/{name}.png", cityscapes()) for name in sorted(NAMES)]
    return [FrameSet("toy", root, frames, [])]


def run(source, output, translate=negative, identity=IDENTITY, **options):
    return run_plan(plan_sets(as_sets(source), output), output, translate, identity, **options)


def run_folder(source, output, translate=negative, **options):
    return run_plan(plan_input(source, output)[0], output, translate, **options)


def run_plan(plan, output, translate=negative, identity=IDENTITY, read=None, quality=QUALITY, **options):
    """`translate_frames` with the attributes of network and control as options."""
    network, control = network_and_control(translate, **options)
    return translate_frames(plan, output, network, identity, read=read, quality=quality, control=control)


def network_and_control(translate, **options):
    """A network and how to go about its job, from the attributes of both."""
    own = {field.name for field in fields(JobControl)} & options.keys()
    control = JobControl(**{name: options.pop(name) for name in own})
    return Network(translate, **options), control


def unchanged(image):
    return image


def run_video(source, output, translate=unchanged, **options):
    network, control = network_and_control(translate, **options)
    return translate_video(source, output, network, IDENTITY, control)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def forked(action):
    """The id of a child process that does something. Fork, for a fresh interpreter would spend seconds on torch."""
    child = os.fork()
    if child == 0:
        signal.alarm(HANGS_S)
        try:
            action()
        except StorageError:
            os._exit(6)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def in_a_process(action):
    """The wait status of a child process that does something."""
    return os.waitpid(forked(action), 0)[1]


def killing(function, at, after=False):
    """`function`, whose call number `at` kills the process: before it acts, or after."""
    calls = []

    def call(*args, **options):
        calls.append(1)
        if len(calls) != at:
            return function(*args, **options)
        try:
            return function(*args, **options) if after else None
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    return call
