"""What a trained segmenter began from. Gap closed compares nets of one start, or it tells of the start instead.

An ImageNet encoder, or another network, is worth more than most ways of closing a gap, so an arm that has one beside
references that have none would seem to close what it never had.
"""

import re
from pathlib import Path

from pipelines.data.disk.json_files import read_json
from pipelines.engine.checkpoint_files import checkpoint_hash, list_checkpoints, resolve_checkpoint, settings_in
from pipelines.experiment.arms import ARMS
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.workspace import Workspace
from pipelines.stages.training.training_run import NOTES

RUNS = ("seed-*/*/checkpoints", "variants/*/seed-*/*/checkpoints")
"""Where an experiment's runs keep theirs."""


def start_of(workspace: Workspace, seed: int, run: Path) -> str:
    """The weights that a run's network had before anything of this experiment was learnt, in words.

    A run that began from another one of the experiment has that one's start; one of elsewhere is a start of its own.

    Args:
        workspace: The experiment, which its run folders are known by.
        seed: Of the run.
        run: Its folder.

    Returns:
        Equal words for equal starts: the network, and that its weights are random, or the file of its encoder with its
        hash; or a trained network.
    """
    settings = SegmenterSettings.model_validate(settings_in(resolve_checkpoint(run), "segmenter"))
    if settings.initial is None:
        if settings.encoder_weights is None:
            return f"random weights of {settings.network}"
        return f"{_encoder_of(run, settings.encoder_weights)} in {settings.network}"
    if settings.initial in ARMS:
        return start_of(workspace, seed, workspace.segmenter(seed, settings.initial))
    earlier = Path(settings.initial)
    if not earlier.resolve().is_relative_to(workspace.shared.resolve()):
        moved = _begun_from(workspace, run)
        if moved is None:
            return f"the trained network of {earlier}"
        earlier = moved
    return start_of(workspace, seed, earlier)


def _begun_from(workspace: Workspace, run: Path) -> Path | None:
    """The run of the experiment whose network a run began from, by content: a path holds until the folder is moved."""
    initial = read_json(run / "config.json").get("frames", {}).get("initial")
    for pattern in RUNS:
        for folder in sorted(workspace.shared.glob(pattern)):
            newest = list_checkpoints(folder)[:1]
            if newest and checkpoint_hash(newest[0]) == initial:
                return folder.parent
    return None


def _encoder_of(run: Path, source: str) -> str:
    """ "encoder weights of resnet18-f37072fd.pth (sha256 f37072fd4b9f…)", by what the run noted as it began."""
    noted = read_json(run / NOTES).get("encoder_weights") if (run / NOTES).exists() else None
    if noted is None:
        return f"encoder weights of {source}"
    file = re.sub(r"(\(sha256 [0-9a-f]{12})[0-9a-f]*\).*", r"\1…)", noted.removeprefix("encoder starts from "))
    return f"encoder weights of {file}"
