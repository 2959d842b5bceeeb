"""The first steps of a training, for a dry run: what does not fit into memory shows before a job waits for its turn.

All is built as training builds it and a checkpoint is saved, in a folder that is thrown away: a copy of the run folder,
of links to what was made there before, so that nothing is written to it.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from pipelines.data.disk.files import size_in_words
from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.manifest import MANIFEST
from pipelines.engine.checkpoint_files import is_finished, list_checkpoints
from pipelines.engine.loop import headline
from pipelines.engine.runs import SKIPPED
from pipelines.engine.session import Session
from pipelines.errors import NumericalError
from pipelines.experiment.arms import ARMS
from pipelines.experiment.teachers import teachers_checkpoint
from pipelines.experiment.translators import UNGUIDED
from pipelines.experiment.workspace import Workspace
from pipelines.runtimes.peak_memory import watched_memory
from pipelines.stages.predicting.pseudo_labels import is_chosen
from pipelines.stages.training.train_segmenter import choice_of, train_segmenter
from pipelines.stages.training.train_translator import train_translator
from segment.methods import METHODS


def to_be_made_before(workspace: Workspace, seed: int, arm: str | None) -> list[str]:
    """What a training, of an arm or (None) of the translator, builds on and what is not there yet, in words."""
    return _translator_lacks(workspace, seed) if arm is None else _arm_lacks(workspace, seed, arm)


def try_first_steps(workspace: Workspace, seed: int, arm: str | None, session: Session) -> str:
    """Take two, of an arm or (None) of the translator, nothing being `to_be_made_before`; what they took, in words.

    Raises:
        UserError: As of `train_segmenter` and `train_translator`.
        NumericalError: A loss or gradient of them is no number.
    """
    own = workspace.translator(seed) if arm is None else workspace.segmenter(seed, arm)
    with tempfile.TemporaryDirectory(prefix="sim2real-") as place:
        run = Path(place) / "run"
        _link(workspace.run, run, own.relative_to(workspace.run).parts)
        thrown_away = Workspace(workspace.experiment, workspace.data, run)
        briefly = replace(session, first_steps_alone=True)
        with watched_memory(session.machine.device) as peak:
            if arm is None:
                trained = train_translator(thrown_away, seed, briefly)
            else:
                trained = train_segmenter(thrown_away, seed, arm, briefly)
        return _told(trained, peak.mb)


def _told(run: Path, peak_mb: float | None) -> str:
    if (run / SKIPPED).exists():
        reason = next(iter(read_json(run / SKIPPED).values()))
        raise NumericalError(f"{reason}; lower the learning rate, or compute with --precision fp32")
    losses, timing = (json.loads((run / name).read_text()) for name in ("metrics.jsonl", "timings.jsonl"))
    losses.pop("step")
    size = sum(file.stat().st_size for file in list_checkpoints(run / "checkpoints")[0].iterdir())
    memory = "" if peak_mb is None else f", {size_in_words(peak_mb * 1e6)} of memory"
    return f"{timing['seconds']:.1f} s a step{memory}, a checkpoint of {size_in_words(size)}; {headline(losses)}"


def _link(folder: Path, place: Path, own: tuple[str, ...]) -> None:
    """Make at `place` what is in a folder, by links; but for `own`, a path within it that is not to be there yet."""
    place.mkdir()
    first, *rest = own
    for entry in folder.iterdir() if folder.is_dir() else ():
        if entry.name != first:
            (place / entry.name).symlink_to(entry.absolute())
    if rest:
        _link(folder / first, place / first, tuple(rest))


def _arm_lacks(workspace: Workspace, seed: int, arm: str) -> list[str]:
    settings = ARMS[arm].settings(workspace.experiment.segmenter)
    named = [one for one in (settings.initial, *settings.teachers) if one in ARMS]
    lacking = [one for one in named if not is_finished(workspace.segmenter(seed, one))]
    if ARMS[arm].shares(settings)["translated"] > 0 and not (workspace.translated(seed) / MANIFEST).exists():
        lacking.append("the translated frames")
    if METHODS[settings.method].learns_from == "pseudo_labels":
        done = is_chosen(workspace.target, workspace.pseudo_labels(seed), choice_of(settings))
        lacking += [] if done else ["the pseudo-labels"]
    return lacking


def _translator_lacks(workspace: Workspace, seed: int) -> list[str]:
    settings, seed, lacking = workspace.experiment.translator, workspace.translator_seed(seed), []
    if settings.initial == UNGUIDED and not is_finished(workspace.unguided().translator(seed)):
        lacking.append("the unguided translator")
    arm = None if settings.guided_by is None else workspace.expert_arm(settings.guided_by)
    if arm is not None and not is_finished(workspace.expert_workspace(arm).segmenter(seed, arm)):
        lacking.append(f"the expert, {arm}")
    if settings.learns_from == "translated":
        made_here = teachers_checkpoint(workspace) is not None
        if made_here and not (workspace.teachers_frames(seed) / MANIFEST).exists():
            lacking.append("the teacher's frames")
        if settings.finds_real_patches and settings.encoder in ARMS:
            its = workspace.segmenter(seed, settings.encoder)
            lacking += [] if is_finished(its) else [f"the encoder, {settings.encoder}"]
    return lacking
