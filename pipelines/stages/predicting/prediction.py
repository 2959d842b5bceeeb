"""Stage two, use: a trained segmenter predicts whatever a person names, by the fastest runtime that is present."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.plan import PlannedFrame
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.video import VideoSummary
from pipelines.batch_inference.watched import watched
from pipelines.batch_inference.work import Outcome
from pipelines.data.labels.label_formats import LabelFormat
from pipelines.engine.capabilities import capabilities
from pipelines.engine.launch import Machine, describe_machine, make_deterministic
from pipelines.engine.session import Session
from pipelines.engine.torchrun import ProcessRank
from pipelines.experiment.trained import TrainedSegmenter, load_ensemble
from pipelines.runtimes.conversion import refuse_absent_runtime
from pipelines.runtimes.frame_prediction import Inference, TestTimeAugmentation, open_predictor
from pipelines.runtimes.segmenter_runtime import Mode, Runtime, fastest_runtime, mode_on
from pipelines.stages.predicting.predict_frames import SegmentingNetwork, predict_frames, prediction_plan
from pipelines.stages.predicting.predict_video import predict_video

COMPUTATION = 1
"""Raised when the same checkpoint and frames give other bytes than before, so that no folder holds some of each."""
FRAMES_LABELS: LabelFormat = "train_ids"
"""How label maps of frames are written where nothing else is asked for."""


@dataclass(frozen=True)
class PredictionOptions:
    """How to predict.

    Attributes:
        height: At which the network sees a frame; None: that of its training.
        runtime: What computes; None: the fastest that is present.
        fast: In bf16 where that pays on this machine, as it is wherever its precision says so.
        labels: How label maps are written; None: the usual way, train ids for folders and none for a video.
        part: Do only this part of the frames.
        weights: How much each of several checkpoints counts; None: all alike.
        flip: Look at the mirror image, too.
    """

    height: int | None = None
    runtime: Runtime | None = None
    fast: bool = False
    labels: LabelFormat | None = None
    part: Part | None = None
    weights: tuple[float, ...] | None = None
    flip: bool = False

    def runtime_on(self, machine: Machine) -> Runtime:
        """What computes there."""
        return self.runtime or fastest_runtime(machine)

    def mode_on(self, machine: Machine) -> Mode:
        """How it computes there."""
        return mode_on(machine, self.fast)


def describe_prediction(
    checkpoints: Sequence[Path], options: PredictionOptions, machine: Machine
) -> tuple[str, dict[str, JsonValue]]:
    """For a dry run, what would predict, for people, and what decides the predictions of frames.

    Raises:
        CheckpointError: The checkpoint is damaged, or not a segmenter's.
        UserError: The runtime is not there, or not for the device.
    """
    trained = load_ensemble(checkpoints, machine, options.weights)
    found = ", ".join(map(str, trained.checkpoints))
    runtime, mode = options.runtime_on(machine), options.mode_on(machine)
    refuse_absent_runtime(runtime, machine.device.type)
    height = options.height or trained.height
    plan = prediction_plan(_identity(trained, options, machine), height, options.labels or FRAMES_LABELS)
    return f"{runtime} on {machine.device} ({mode}), at height {height}, from {found}", plan


def run_prediction(
    checkpoints: Sequence[Path],
    plan: Sequence[PlannedFrame],
    output: Path,
    options: PredictionOptions,
    session: Session,
) -> Outcome:
    """Predict a plan's frames with a segmenter; what is finished is left alone.

    Args:
        checkpoints: Of a segmenter; a run folder or one of its checkpoints. Of several the mean of what they say.
        plan: As `to_predict` makes it; all frames, also where only a part is done here.
        output: Folder of the predictions.
        options: How to predict.
        session: How to compute. At least one thread reads ahead and writes behind.
    """
    network, identity = _opened(checkpoints, options, session.machine)
    labels = options.labels or FRAMES_LABELS
    with watched("predict", session, options.part) as control:
        return predict_frames(plan, output, network, identity, labels=labels, control=control)


def run_video_prediction(
    checkpoints: Sequence[Path], source: Path, output: Path, options: PredictionOptions, session: Session
) -> VideoSummary:
    """Predict a video into a video of overlays; arguments as of `run_prediction`."""
    network, identity = _opened(checkpoints, options, session.machine)
    with watched("predict", session) as control:
        return predict_video(source, output, network, identity, labels=options.labels, control=control)


def _opened(
    checkpoints: Sequence[Path], options: PredictionOptions, machine: Machine
) -> tuple[SegmentingNetwork, dict[str, JsonValue]]:
    """The network ready to predict, and what decides its predictions."""
    make_deterministic(machine.deterministic)
    trained = load_ensemble(checkpoints, machine, options.weights)
    runtime, mode = options.runtime_on(machine), options.mode_on(machine)
    looks = TestTimeAugmentation(flip=options.flip)
    said = f"predict: {runtime}, {mode}, {describe_machine(machine)} ({capabilities()})"
    print(said, file=ProcessRank.of_environment().stderr())  # before a conversion, which may take half a minute
    predictor = open_predictor(
        trained.network, options.height or trained.height, machine, Inference(runtime, mode, looks)
    )
    network = SegmentingNetwork(predictor, NetworkClock(str(machine.device)))
    return network, _identity(trained, options, machine)


def _identity(trained: TrainedSegmenter, options: PredictionOptions, machine: Machine) -> dict[str, JsonValue]:
    flip: dict[str, JsonValue] = {"flip": True} if options.flip else {}
    runtime, mode = options.runtime_on(machine), options.mode_on(machine)
    return {"checkpoint_sha256": trained.sha256, "computation": COMPUTATION, "runtime": runtime, "mode": mode, **flip}
