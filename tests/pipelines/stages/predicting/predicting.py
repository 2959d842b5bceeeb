"""A prediction in miniature, for tests of predicting frames and videos: a segmenter that goes by brightness."""

import numpy as np
import torch
from torch.nn import functional

from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.work import JobControl
from pipelines.data.images import write_image
from pipelines.runtimes.frame_prediction import FramePredictor
from pipelines.stages.predicting.predict_frames import SegmentingNetwork, predict_frames, to_predict

IDENTITY = {"checkpoint_sha256": "c" * 64, "runtime": "torch"}
HEIGHT = 6


class ByBrightness:
    """Class 10 where the red channel is above a half, else class 0; remembers at which heights it saw frames."""

    def __init__(self):
        self.heights = []

    def label_map(self, image, size):
        self.heights.append(image.shape[-2])
        bright = (image[:, :1] > 0.5).float()
        return (functional.interpolate(bright, size, mode="nearest")[:, 0] * 10).to(torch.uint8)


def network_of(segmenter=None, height=HEIGHT):
    predictor = FramePredictor(segmenter or ByBrightness(), height, torch.device("cpu"))
    return SegmentingNetwork(predictor, NetworkClock("cpu"))


def half(height, width):
    """Black on the left, white on the right."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


def draw_tree(folder):
    for name, size in (("a", (6, 8)), ("sub/a", (6, 7)), ("sub/b c", (6, 8)), ("ä/ö", (12, 16))):
        write_image(folder / f"{name}.png", half(*size))
    (folder / "notes.txt").write_text("not an image")
    return folder


def predict(
    source, output, segmenter=None, overlays=True, identity=IDENTITY, height=HEIGHT, labels="train_ids", **control
):
    plan = to_predict(plan_input(source, output)[0], overlays)
    network = network_of(segmenter, height)
    return predict_frames(plan, output, network, identity, labels=labels, control=JobControl(**control))
