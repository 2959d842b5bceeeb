"""Ask trained networks for the likeliest classes of frames without labels, and how likely these are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.batch_inference.plan import PlannedFrame
from pipelines.batch_inference.write import Loaded
from pipelines.data.disk.manifest import ManifestEntry
from pipelines.data.images import encode_png, read_image
from pipelines.errors import Interrupted, UserError
from pipelines.experiment.trained import TrainedSegmenter
from pipelines.progress import Progress
from pipelines.runtimes.divergence import refuse_diverged
from pipelines.runtimes.frame_prediction import FramePredictor, as_seen
from pipelines.stages.predicting.predict_frames import SegmentingNetwork, write_files
from segment.adaptation.pseudo_labels import CONFIDENCES, class_sums, denoised
from segment.classes import CLASS_NAMES
from segment.networks.segmenter import Segmenter

CLASSES = len(CLASS_NAMES)
CANDIDATES = 3
"""Classes of a pixel that are written down, the likeliest first: as many as a picture has colours."""


class Prototypes:
    """The classes' mean features over frames, found in one pass over these when they are first asked for.

    Args:
        trained: Whose features.
        predictor: The same, ready for frames.
        frames: Over which the means are taken.
        stop_requested: Asked before each frame.

    Raises:
        UserError: The networks are several, which have no features in common.
    """

    def __init__(
        self,
        trained: TrainedSegmenter,
        predictor: FramePredictor,
        frames: Sequence[PlannedFrame],
        stop_requested: Callable[[], bool],
    ) -> None:
        if not isinstance(trained.network, Segmenter):
            raise UserError(
                f"prototypes are means of one network's features, and {len(trained.checkpoints)} networks are to "
                "label; name one, or set prototype_temperature to 0"
            )
        self.network, self.predictor, self.frames = trained.network, predictor, frames
        self.stop_requested = stop_requested

    def features(self, frame: np.ndarray) -> Tensor:
        """The features of a frame that its pixels are classified by, (1, C, h, w), over the frame and nothing else."""
        seen = as_seen(frame, self.predictor.height, self.predictor.device)
        return self.network.over_image(self.network.with_features(seen)[1].float(), *seen.shape[-2:])

    @cached_property
    def sums(self) -> Tensor:
        """Sums of the features by class, and their number, (K, C + 1); Interrupted where a stop was requested."""
        total: Tensor | None = None
        with Progress("find the classes' prototypes", len(self.frames), "frame") as progress:
            for done, frame in enumerate(self.frames, 1):
                if self.stop_requested():
                    raise Interrupted("a signal while prototypes were sought; the same command carries on")
                image = read_image(frame.image)
                with torch.inference_mode():
                    features = self.features(image)
                    logits = self.predictor.logits(image, (features.shape[-2], features.shape[-1]))
                    own = class_sums(features, logits.argmax(dim=1), CLASSES)
                total = own if total is None else total + own
                progress.reach(done)
        return total


@dataclass(frozen=True)
class Labeller(SegmentingNetwork):
    """What frames go through: a segmenter that says how sure it is."""

    temperature: float = 0.0
    prototypes: Prototypes | None = None
    """By whose nearness probabilities are weighed, distances over the temperature."""

    def answer(self, frame: np.ndarray, size: tuple[int, int]) -> Tensor:
        """The likeliest classes of a frame and their confidences, uint8 (2, H, W, CANDIDATES)."""
        logits = self.predictor.logits(frame, size)
        refuse_diverged(logits, "logits")
        probabilities = logits.float().softmax(dim=1)
        if self.prototypes is not None:
            features = self.prototypes.features(frame)
            probabilities = denoised(probabilities, features, self.prototypes.sums, self.temperature)
        likelihoods, candidates = probabilities[0].topk(CANDIDATES, dim=0)
        confidences = (likelihoods * (CONFIDENCES - 1)).round()
        return torch.stack([candidates, confidences]).to(torch.uint8).movedim(1, -1)


@dataclass(frozen=True)
class PseudoLabelWriter:
    """Writes what a frame's labels are chosen from."""

    checkpoint_sha256: str

    def write(self, loaded: Loaded, result: Tensor, output: Path) -> ManifestEntry:
        """Write a frame's files; they count once the returned entry is in a journal.

        Args:
            loaded: The frame.
            result: uint8 (2, H, W, CANDIDATES), classes and confidences.
            output: Folder of the set.
        """
        candidates, confidences = (encode_png(part) for part in result.cpu().numpy())
        return write_files(output, loaded, candidates, confidences, self.checkpoint_sha256)
