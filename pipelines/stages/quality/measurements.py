"""What is measured of every translated frame, of its source, of both together, and of every target frame.

Several processes share the frames out. What is kept of a frame is small, so that sets of any length can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

from pipelines.data.images import read_image, to_batch
from pipelines.data.labels.shared_classes import SharedClasses
from pipelines.engine.processes import Processes
from pipelines.progress import Progress
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.stages.quality.feature_extractors import Extractor
from pipelines.stages.quality.translated_pairs import Expert, TranslatedFrame, edges_kept
from segment.metrics.merged_classes import merge_classes
from segment.metrics.regions import confusion_matrix
from translate.quality.colour import lab_statistics
from translate.quality.consistency import label_consistency
from translate.quality.motion import flow_warped_difference, visible_before
from translate.quality.pyramids import draw_patches, laplacian_pyramid, level_heights
from translate.quality.spectrum import radial_log_power


@dataclass(frozen=True)
class ImageMeasurement:
    """What is kept of one image; patches by level, features by extractor."""

    mean: torch.Tensor
    deviation: torch.Tensor
    spectrum: torch.Tensor
    patches: list[torch.Tensor]
    features: list[torch.Tensor]


@dataclass(frozen=True)
class Measuring:
    """How the images of a set are measured."""

    height: int
    patches_per_image: int
    extractors: Sequence[Extractor]
    device: torch.device

    def measure(self, image: np.ndarray, number: int) -> ImageMeasurement:
        """Measure one image, uint8 (H, W, 3), that is the set's `number`-th: by this its patches are drawn."""
        tensor = as_seen(image, self.height, self.device)
        mean, deviation = lab_statistics(tensor)
        generator = torch.Generator().manual_seed(number)
        levels = laplacian_pyramid(tensor, len(level_heights(self.height)))
        return ImageMeasurement(
            mean[0].cpu(),
            deviation[0].cpu(),
            radial_log_power(tensor)[0].cpu(),
            [draw_patches(level[0], self.patches_per_image, generator).cpu() for level in levels],
            [extractor.extract(image) for extractor in self.extractors],
        )


@dataclass
class PairMeasurement:
    """What is only known of translated frames and their sources together."""

    structure: list[float] = field(default_factory=list)
    consistency: list[float] = field(default_factory=list)
    source_consistency: list[float] = field(default_factory=list)
    confusions: list[torch.Tensor] = field(default_factory=list)
    source_confusions: list[torch.Tensor] = field(default_factory=list)
    flicker: list[float] = field(default_factory=list)
    source_flicker: list[float] = field(default_factory=list)

    @classmethod
    def of_all(cls, parts: Sequence["PairMeasurement"]) -> "PairMeasurement":
        """Those of several frames, one after the other."""
        return cls(*(list(chain.from_iterable(getattr(part, one.name) for part in parts)) for one in fields(cls)))


FrameMeasurement = tuple[ImageMeasurement, ImageMeasurement | None, PairMeasurement]
"""Of a translated frame, of its source where it is known, and of both together."""


def measure_frames(
    frames: Sequence[TranslatedFrame],
    measuring: Measuring,
    expert: Expert | None,
    classes: SharedClasses,
    sequence: bool,
    processes: Processes,
) -> list[FrameMeasurement]:
    """What is found of every frame, in their order.

    Args:
        frames: Translated frames in name order.
        measuring: How each is measured.
        expert: Reads the frames that have labels; None: nothing is said of what they show.
        classes: By which the expert is judged.
        sequence: Each is held beside the one before it in its folder, along the motion of the source.
        processes: Share the frames out; each gets what all found.
    """
    found: list[FrameMeasurement] = []
    numbered = list(enumerate(frames))
    before: tuple[int, tuple[np.ndarray, np.ndarray | None]] | None = None
    own = len(processes.share(numbered))
    with Progress("measure translated frames", own, "frame", stream=processes.stderr()) as progress:
        for done, (number, frame) in enumerate(processes.walk(numbered), 1):
            image, original = frame.read()
            pair, source = PairMeasurement(), None
            if original is not None:
                source = measuring.measure(original, number)
                pair.structure.append(edges_kept(frame, original, image, measuring.device))
            if expert is not None and frame.label is not None and frame.encoding is not None:
                _add_consistency(pair, frame, image, original, expert, classes)
            if sequence and number and Path(frames[number - 1].name).parent == Path(frame.name).parent:
                near = before is not None and before[0] == number - 1
                _add_flicker(pair, before[1] if near else frames[number - 1].read(), (image, original))
            before = number, (image, original)
            found.append((measuring.measure(image, number), source, pair))
            progress.reach(done)
    return processes.gathered(found)


def measure_targets(target: Sequence[Path], measuring: Measuring, processes: Processes) -> list[ImageMeasurement]:
    """What is found of every target frame, in their order."""
    found, numbered = [], list(enumerate(target))
    with Progress(
        "measure target frames", len(processes.share(numbered)), "frame", stream=processes.stderr()
    ) as progress:
        for done, (number, path) in enumerate(processes.walk(numbered), 1):
            found.append(measuring.measure(read_image(path), number))
            progress.reach(done)
    return processes.gathered(found)


def _add_consistency(
    pairs: PairMeasurement,
    frame: TranslatedFrame,
    image: np.ndarray,
    original: np.ndarray | None,
    expert: Expert,
    classes: SharedClasses,
) -> None:
    label = frame.read_label(image)
    for seen, scores, confusions in (
        (image, pairs.consistency, pairs.confusions),
        (original, pairs.source_consistency, pairs.source_confusions),
    ):
        if seen is None:
            continue
        prediction = expert.predict(seen, label.shape)
        counts = merge_classes(confusion_matrix(torch.from_numpy(label), torch.from_numpy(prediction)), classes.groups)
        confusions.append(counts)
        scores.append(label_consistency(counts, classes.scored))


def _add_flicker(
    pairs: PairMeasurement, previous: tuple[np.ndarray, np.ndarray], current: tuple[np.ndarray, np.ndarray]
) -> None:
    """Differences left when the motion of the source is taken out, in levels of 255; nothing for a cut."""
    if previous[1].shape != current[1].shape:
        return
    there, back = (optical_flow(*pair) for pair in ((current[1], previous[1]), (previous[1], current[1])))
    visible = visible_before(there, back)
    if not visible.any():
        return
    for values, first, second in zip((pairs.flicker, pairs.source_flicker), previous, current, strict=True):
        difference = flow_warped_difference(to_batch([first]), to_batch([second]), there, visible)
        values.append(255 * float(difference))


def optical_flow(image: np.ndarray, other: np.ndarray) -> torch.Tensor:
    """Where each pixel of one frame is in another, (1, 2, H, W) in pixels: Kroeger et al., ECCV 2016 (DIS)."""
    method = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (image, other)]
    return torch.from_numpy(method.calc(*grey, None)).permute(2, 0, 1)[None]
