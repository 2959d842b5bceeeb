"""Trained networks on disk: made from their settings, filled with their weights, known to be those asked for."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from torch import nn

from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.ownership import as_json
from pipelines.engine.checkpoint_files import checkpoint_hash, is_finished, read_state, resolve_checkpoint, settings_in
from pipelines.engine.checkpoints import load_part
from pipelines.engine.launch import Machine, seed_weights
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.identity import translator_inputs
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.translators import LoadableTranslatorSettings
from pipelines.experiment.workspace import Workspace
from pipelines.settings import explain
from segment.inference import Ensemble, MultiScale
from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter
from translate.methods import TRANSLATORS
from translate.methods.published import Published
from translate.methods.translator_training import TranslatorTraining
from translate.translator import Translator


def build_translator(
    settings: LoadableTranslatorSettings, seed: int = 0, **collaborators: Any
) -> TranslatorTraining | Published:
    """The method with freshly drawn weights, a function of the seed; `collaborators` (guidance) are handed to it.

    Of settings of a published checkpoint: its generators alone, which no method trains.
    """
    seed_weights(seed, "translator")
    method = TRANSLATORS[settings.method]
    return method(method.Settings(**settings.declared_values()), **collaborators)


def finished_translator(workspace: Workspace, seed: int) -> Path:
    """The last checkpoint of the translator that serves `seed`, trained to its end with today's settings and frames.

    Raises:
        CheckpointError: There is none: not trained yet, stopped half-way, or trained with other settings or frames.
    """
    run = workspace.translator(seed)
    if not is_finished(run):
        state = "stopped half-way" if run.exists() else "not there yet"
        raise CheckpointError(f"translator {run} is {state}; run `sim2real translate train` first")
    if read_json(run / "config.json") != as_json(translator_inputs(workspace, workspace.translator_seed(seed))):
        raise CheckpointError(
            f"translator {run} was trained with other settings or frames; "
            "run `sim2real translate train --restart` first"
        )
    return resolve_checkpoint(run / read_json(run / "final.json")["checkpoint"])


def load_translator(path: Path, machine: Machine) -> tuple[Translator, Path]:
    """The translator of a run folder or checkpoint, ready for inference, and the checkpoint used.

    What it was trained with (discriminators, pools of images, an encoder, an expert) is neither built nor read.

    Raises:
        CheckpointError: Damaged, or not a translator.
    """
    checkpoint = resolve_checkpoint(path)
    settings = _validated(checkpoint, "translator", LoadableTranslatorSettings)
    method = TRANSLATORS[settings.method]
    declared = method.Settings(**settings.declared_values())
    seed_weights(0, "translator")
    translator = method.translator(declared)
    for part, prefix in method.kept(declared).items():
        load_part(checkpoint, translator.get_submodule(part), prefix)
    return translator.to(machine.device).eval(), checkpoint


def is_published(checkpoint: Path) -> bool:
    """Whether a checkpoint holds what others have trained, as `sim2real checkpoint import` found it."""
    return "imported" in read_state(checkpoint)["about"]


def _validated(checkpoint: Path, stage: str, model: Any) -> Any:
    """The settings of a checkpoint as a model of them; CheckpointError where they are of another version or made up."""
    try:
        return TypeAdapter(model).validate_python(settings_in(checkpoint, stage))
    except ValidationError as error:
        raise CheckpointError(
            f"{checkpoint}/state.json: settings that this version does not know ({explain(error, model)}); use the "
            "version of sim2real that wrote them, or another checkpoint"
        ) from error


def build_network(settings: SegmenterSettings, seed: int = 0) -> Segmenter:
    """The network with freshly drawn weights, a function of the seed alone: all arms start from the same."""
    seed_weights(seed, "segmenter")
    return NETWORKS[settings.network]()


def assumptions_of(network: Segmenter) -> dict[str, Any]:
    """What a network takes an image for and how its logits are resized, as a checkpoint keeps it beside the weights."""
    mean, std = (one.flatten().tolist() for one in (network.image_mean, network.image_std))
    return {"image_mean": mean, "image_std": std, "align_corners": network.align_corners}


def assume(network: Segmenter, assumptions: dict[str, Any]) -> None:
    """Have a network take images and resize logits as its weights were made for."""
    network.normalise_by(assumptions["image_mean"], assumptions["image_std"])
    network.align_corners = assumptions["align_corners"]


@dataclass(frozen=True)
class TrainedSegmenter:
    """One network, or several as one, to predict with."""

    network: nn.Module
    """In evaluation mode, on the machine's device: images in [0, 1] to logits of their size."""
    height: int
    """At which frames are given to it."""
    checkpoints: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """The hash of the checkpoint, or of the list of several and of how they are weighed."""
        hashes = [checkpoint_hash(checkpoint) for checkpoint in self.checkpoints]
        if not isinstance(self.network, Ensemble):
            return hashes[0]
        return hashlib.sha256(json.dumps([hashes, self.network.weights]).encode()).hexdigest()


def load_ensemble(
    paths: Sequence[Path], machine: Machine, weights: Sequence[float] | None = None, height: int | None = None
) -> TrainedSegmenter:
    """The segmenters of run folders or checkpoints as one that averages their probabilities; of one, itself.

    A network that was trained at another height than frames are given at sees them at its own.

    Args:
        paths: At least one.
        machine: Where to compute.
        weights: One for each path, above 0; None: all alike.
        height: That frames are given at; None: the largest that one of them was trained at.

    Raises:
        CheckpointError: One is damaged, or not a segmenter.
        UserError: The weights are not one for each.
    """
    loaded = [load_segmenter(path, machine) for path in paths]
    checkpoints = tuple(checkpoint for *_, checkpoint in loaded)
    height = height or max(settings.height for _, settings, _ in loaded)
    seen = [
        network if settings.height == height else MultiScale(network, (settings.height / height,))
        for network, settings, _ in loaded
    ]
    if len(loaded) == 1:
        if weights is not None:
            raise UserError("weights are for several checkpoints, and there is one")
        return TrainedSegmenter(seen[0], height, checkpoints)
    try:
        return TrainedSegmenter(Ensemble(seen, weights), height, checkpoints)
    except ValueError as error:
        raise UserError(f"weights of {len(loaded)} checkpoints: {error}") from error


def load_segmenter(path: Path, machine: Machine) -> tuple[Segmenter, SegmenterSettings, Path]:
    """The network to predict with, from a run folder or checkpoint; its settings; the checkpoint used.

    Whatever else its method trained (a teacher, discriminators) is neither built nor read.

    Raises:
        CheckpointError: Damaged, or not a segmenter.
    """
    checkpoint = resolve_checkpoint(path)
    settings = _validated(checkpoint, "segmenter", SegmenterSettings)
    network = build_network(settings)
    # Runs that were made before imports said it assume what the network does by itself.
    assumed = read_state(checkpoint)["about"].get("assumed", assumptions_of(network))
    try:
        assume(network, assumed)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{checkpoint}/state.json: what its network assumes of images is no mean and deviation of three channels "
            f"({error}); use an older checkpoint"
        ) from error
    load_part(checkpoint, network, "network." if settings.ema_decay is None else "average.network.")
    return network.to(machine.device).eval(), settings, checkpoint
