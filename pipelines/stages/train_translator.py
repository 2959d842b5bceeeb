"""Stage one, training: unpaired source and target frames in, a run folder with a translator out."""

from pathlib import Path
from typing import Any

from pipelines.config import TranslatorSettings
from pipelines.data.batches import UnpairedBatches
from pipelines.engine.checkpoints import load_method, read_state, resolve_checkpoint
from pipelines.engine.launch import Machine, seed_weights
from pipelines.engine.runs import as_json, read_json
from pipelines.errors import CheckpointError
from pipelines.stages.training_run import filled_pool, train_run
from pipelines.workspace import Workspace
from translate.methods import METHODS
from translate.methods.cyclegan import CycleGAN


def train_translator(workspace: Workspace, seed: int, machine: Machine, workers: int, restart: bool = False) -> Path:
    """Train (or carry on training) the translator that serves `seed`; return its run folder."""
    settings = workspace.experiment.translator
    seed = workspace.translator_seed(seed)
    return train_run(
        workspace.translator(seed),
        workspace.translator_inputs(seed),
        settings,
        lambda: build_translator(settings, seed),
        lambda: unpaired_batches(workspace, seed),
        machine,
        workers,
        restart,
        f"train {settings.method}, seed {seed}",
    )


def unpaired_batches(workspace: Workspace, seed: int) -> UnpairedBatches:
    """Crops of all source frames and all target frames."""
    settings = workspace.experiment.translator
    return UnpairedBatches(
        filled_pool("source", workspace.source, settings.height),
        filled_pool("target", workspace.target, settings.height),
        seed,
        settings.batch,
        settings.height,
        settings.crop,
    )


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


def finished_translator(workspace: Workspace, seed: int) -> Path:
    """The last checkpoint of the translator that serves `seed`, trained to its end with today's settings and frames.

    Raises:
        CheckpointError: There is none: not trained yet, stopped half-way, or trained with other settings or frames.
    """
    run = workspace.translator(seed)
    if not (run / "final.json").exists():
        state = "stopped half-way" if run.exists() else "not there yet"
        raise CheckpointError(f"translator {run} is {state}; run `sim2real translate train` first")
    if read_json(run / "config.json") != as_json(workspace.translator_inputs(workspace.translator_seed(seed))):
        raise CheckpointError(
            f"translator {run} was trained with other settings or frames; "
            "run `sim2real translate train --restart` first"
        )
    return resolve_checkpoint(run / read_json(run / "final.json")["checkpoint"])


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
