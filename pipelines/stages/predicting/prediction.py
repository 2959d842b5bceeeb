"""Stage two, use: a trained segmenter predicts whatever a person names, by the fastest runtime that is present."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.plan import FrameToTranslate
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.video import VideoSummary
from pipelines.batch_inference.watched import watched
from pipelines.batch_inference.work import Outcome
from pipelines.data.labels.label_formats import LabelFormat
from pipelines.engine.abilities import abilities
from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.launch import Machine, describe_machine, make_deterministic
from pipelines.engine.session import Session
from pipelines.experiment.trained import load_segmenter
from pipelines.runtimes.frame_prediction import Inference, open_predictor
from pipelines.runtimes.segmenter_runtime import Mode, Runtime, fastest_runtime, mode_on
from pipelines.stages.predicting.predict_frames import SegmentingNetwork, predict_frames
from pipelines.stages.predicting.predict_video import predict_video

COMPUTATION = 1
"""Raised when the same checkpoint and frames give other bytes than before, so that no folder holds some of each."""


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict.

    Attributes:
        height: At which the network sees a frame; None: that of its training.
        runtime: What computes; None: the fastest that is present.
        fast: In bf16 where the machine has instructions for it, as it is wherever its precision says so.
        labels: How label maps are written; None: the usual way, train ids for folders and none for a video.
        part: Do only this part of the frames.
    """

    height: int | None = None
    runtime: Runtime | None = None
    fast: bool = False
    labels: LabelFormat | None = None
    part: Part | None = None

    def runtime_on(self, machine: Machine) -> Runtime:
        """What computes there."""
        return self.runtime or fastest_runtime(machine)

    def mode_on(self, machine: Machine) -> Mode:
        """How it computes there."""
        return mode_on(machine, self.fast)


def describe_prediction(checkpoint: Path, options: PredictionOptions, machine: Machine) -> str:
    """What would predict, for a dry run.

    Raises:
        CheckpointError: The checkpoint is damaged, or not a segmenter's.
    """
    _, settings, found = load_segmenter(checkpoint, machine)
    runtime, mode = options.runtime_on(machine), options.mode_on(machine)
    return f"{runtime} on {machine.device} ({mode}), at height {options.height or settings.height}, from {found}"


def run_prediction(
    checkpoint: Path,
    plan: Sequence[FrameToTranslate],
    output: Path,
    options: PredictionOptions,
    session: Session,
) -> Outcome:
    """Predict a plan's frames with a checkpoint; what is finished is left alone.

    Args:
        checkpoint: Of a segmenter; a run folder or one of its checkpoints.
        plan: As `to_predict` makes it; all frames, also where only a part is done here.
        output: Folder of the predictions.
        options: How to predict.
        session: How to compute. At least one thread reads ahead and writes behind.
    """
    network, identity = _opened(checkpoint, options, session.machine)
    labels = options.labels or "train_ids"
    with watched("predict", session, options.part) as control:
        return predict_frames(plan, output, network, identity, labels=labels, control=control)


def run_video_prediction(
    checkpoint: Path, source: Path, output: Path, options: PredictionOptions, session: Session
) -> VideoSummary:
    """Predict a video into a video of overlays; arguments as of `run_prediction`."""
    network, identity = _opened(checkpoint, options, session.machine)
    with watched("predict", session) as control:
        return predict_video(source, output, network, identity, labels=options.labels, control=control)


def _opened(
    checkpoint: Path, options: PredictionOptions, machine: Machine
) -> tuple[SegmentingNetwork, dict[str, JsonValue]]:
    """The network ready to predict, and what decides its predictions."""
    make_deterministic()
    network, settings, found = load_segmenter(checkpoint, machine)
    runtime, mode = options.runtime_on(machine), options.mode_on(machine)
    height = options.height or settings.height
    predictor = open_predictor(network, height, machine, Inference(runtime, mode))
    print(f"predict: {runtime}, {mode}, {describe_machine(machine)} ({abilities()})", file=sys.stderr)
    identity: dict[str, JsonValue] = {
        "checkpoint_sha256": checkpoint_hash(found), "computation": COMPUTATION, "runtime": runtime, "mode": mode,
    }  # fmt: skip
    return SegmentingNetwork(predictor, NetworkClock(str(machine.device))), identity
