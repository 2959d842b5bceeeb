"""Stage one, use: a trained translator turns source frames into a translated data set on disk.

The frames of an experiment, or any folder or data set that a person names; both take the same way.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError

from pipelines.data.frames import AnyFrameSetSettings, open_frame_set
from pipelines.engine.checkpoints import checkpoint_hash
from pipelines.engine.launch import Machine, StopRequest, make_deterministic
from pipelines.errors import Interrupted, UserError
from pipelines.progress import Progress
from pipelines.settings import explain
from pipelines.stages.train_translator import finished_translator, load_translator
from pipelines.stages.translate_frames import (
    FrameToTranslate,
    TranslationSummary,
    plan_sets,
    translate_frames,
)
from pipelines.stages.translation_plan import plan_set
from pipelines.workspace import Workspace


def translate_experiment(
    workspace: Workspace, seed: int, machine: Machine, workers: int, restart: bool = False
) -> TranslationSummary:
    """Translate the experiment's labelled source frames with the translator that serves `seed`."""
    checkpoint = finished_translator(workspace, seed)
    output = workspace.translated(seed)
    plan = plan_sets(workspace.labelled_source, output)
    height = workspace.experiment.translation.height
    return run_translation(checkpoint, plan, output, "source_to_target", height, machine, workers, restart)


def translate_folder(
    checkpoint: Path,
    source: Path,
    output: Path,
    direction: str,
    reader: str,
    reader_settings: Sequence[str],
    height: int | None,
    machine: Machine,
    workers: int,
    restart: bool = False,
) -> TranslationSummary:
    """Translate every image of a folder tree, or every frame of a data set with its label maps.

    Args:
        checkpoint: Of a translator; a run folder or one of its checkpoints.
        source: The folder, or the data set's root.
        output: Gets the same tree.
        direction: "source_to_target" or "target_to_source".
        reader: "folder", or the data set's kind.
        reader_settings: KEY=VALUE settings of the reader, such as "version=0.9.14".
        height: Translate at this height and come back; None for each frame's own size.
        machine: Where to compute.
        workers: Threads that read ahead and write behind.
        restart: Set an output of another translation aside.
    """
    if not source.is_dir():
        raise UserError(f"--input {source} is not a folder")
    settings = {"reader": reader, "name": source.resolve().name, "root": "."}
    plan = plan_set(open_frame_set(_reader_settings(settings, _pairs(reader_settings)), source), output)
    return run_translation(checkpoint, plan, output, direction, height, machine, workers, restart)


def _reader_settings(settings: dict[str, str], more: dict[str, str]) -> AnyFrameSetSettings:
    for key, option in (("reader", "--reader"), ("root", "--input")):
        if key in more:
            raise UserError(f"--frames {key}={more[key]}: give it as {option}")
    try:
        return TypeAdapter(AnyFrameSetSettings).validate_python(settings | more)
    except ValidationError as error:
        problem = explain(error, AnyFrameSetSettings)
        raise UserError(f"--reader {settings['reader']} with --frames: {problem}") from error


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    wrong = [text for text in settings if "=" not in text]
    if wrong:
        raise UserError(f"--frames {wrong[0]}: expected KEY=VALUE, such as --frames version=0.9.14")
    return dict(text.split("=", 1) for text in settings)


def run_translation(
    checkpoint: Path,
    plan: Sequence[FrameToTranslate],
    output: Path,
    direction: str,
    height: int | None,
    machine: Machine,
    workers: int,
    restart: bool,
) -> TranslationSummary:
    """Translate a plan's frames with a checkpoint; what is finished is left alone."""
    make_deterministic()
    method, found = load_translator(checkpoint, machine)
    identity = {"checkpoint_sha256": checkpoint_hash(found), "direction": direction, "precision": machine.precision}

    def translate(image: torch.Tensor) -> torch.Tensor:
        with machine.autocast():
            return method.translate(image.contiguous(memory_format=torch.channels_last), direction).float()

    with StopRequest().listening() as stop, Progress("translate", len(plan), "frame") as progress:
        summary = translate_frames(
            plan,
            output,
            translate,
            identity,
            height=height,
            device=str(machine.device),
            workers=max(workers, 1),
            restart=restart,
            progress=lambda done, total: progress.reach(done),
            stop_requested=lambda: bool(stop),
        )
        if stop:  # during the last frame: whoever sent it does not want the next stage to begin
            raise Interrupted(f"{stop.signal_name} when all frames were done; the same command carries on")
    return summary
