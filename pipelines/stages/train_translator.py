"""Stage one, training: unpaired source and target frames in, a run folder with a translator out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.config import TranslatorSettings
from pipelines.data.batches import FramePool, UnpairedBatches, stream
from pipelines.data.frames import FrameSet
from pipelines.engine.checkpoints import load_method, read_state, resolve_checkpoint
from pipelines.engine.launch import Machine, seed_weights
from pipelines.engine.loop import Schedule, train
from pipelines.engine.runs import RunFolder
from pipelines.errors import CheckpointError
from pipelines.progress import Progress
from pipelines.workspace import Workspace
from translate.methods import METHODS
from translate.methods.cyclegan import CycleGAN


def train_translator(
    workspace: Workspace, seed: int, machine: Machine, workers: int, restart: bool = False
) -> Path:
    """Train (or carry on training) the experiment's translator with one seed; return its run folder."""
    settings = workspace.experiment.translator
    run = RunFolder(workspace.translator(seed), workspace.translator_inputs(seed), restart)
    try:
        if run.steps_done() < settings.steps:
            batches = UnpairedBatches(
                filled_pool("source", workspace.source, settings.height),
                filled_pool("target", workspace.target, settings.height),
                seed,
                settings.batch,
                settings.height,
                settings.crop,
            )
            train(
                build_translator(settings, seed),
                lambda first, last: stream(batches, first, last, workers),
                run,
                Schedule(
                    settings.steps,
                    seed,
                    checkpoint_every=settings.checkpoint_every,
                    preview_every=settings.preview_every,
                ),
                machine,
                {"stage": "translator", "settings": settings.model_dump(mode="json")},
                f"train {settings.method}, seed {seed}",
            )
        run.finish()
    finally:
        run.close()
    return run.path


def filled_pool(name: str, sets: Sequence[FrameSet], height: int, labels: bool = False) -> FramePool:
    """The frames of a domain, read as far as they are kept (label maps all) before the first step; bad ones raise."""
    pool = FramePool(sets, height)
    with Progress(f"read {name} frames", len(pool), "frame") as progress:
        pool.read_all(labels, progress.reach)
    return pool


def build_translator(settings: TranslatorSettings, seed: int = 0) -> CycleGAN:
    """The method with freshly drawn weights, a function of the seed."""
    seed_weights(seed, "translator")
    return METHODS[settings.method](
        generator=settings.generator,
        discriminator=settings.discriminator,
        generator_channels=settings.generator_channels,
        discriminator_channels=settings.discriminator_channels,
        steps=settings.steps,
        decay_fraction=settings.decay_fraction,
        learning_rate=settings.learning_rate,
        cycle_weight=settings.cycle_weight,
        identity_weight=settings.identity_weight,
        pool_size=settings.pool_size,
    )


def load_translator(path: Path, machine: Machine) -> tuple[CycleGAN, Path]:
    """The translator of a run folder or checkpoint, ready for inference, and the checkpoint used.

    Raises:
        CheckpointError: Damaged, or not a translator.
    """
    checkpoint = resolve_checkpoint(path)
    settings = settings_in(checkpoint, "translator")
    method = build_translator(TranslatorSettings.model_validate(settings))
    load_method(checkpoint, method)
    return method.to(machine.device).eval(), checkpoint


def settings_in(checkpoint: Path, stage: str) -> dict[str, Any]:
    """The settings that a checkpoint of the expected stage was trained with."""
    about = read_state(checkpoint)["about"]
    if about.get("stage") != stage:
        raise CheckpointError(f"{checkpoint} is a {about.get('stage')}, expected a {stage}")
    return about["settings"]
