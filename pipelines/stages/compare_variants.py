"""Which way of translating helps? Variants of one experiment under one budget, beside its source-only net and oracle.

Each variant is the experiment with a few settings changed. Whatever is already trained with the same settings and data
is used as it is, so a variant can be added later and costs only itself.
"""

from dataclasses import dataclass

from pipelines.config import Experiment
from pipelines.data.files import sha256_of, write_atomically
from pipelines.data.manifest import MANIFEST
from pipelines.engine.launch import Machine
from pipelines.engine.runs import read_json
from pipelines.report.variants import VariantResult, VariantStudy, markdown_table
from pipelines.stages.compare import origin, refuse_missing_labels, training_seconds
from pipelines.stages.evaluate import Evaluation, evaluate_checkpoint
from pipelines.stages.evaluate_through import evaluate_through
from pipelines.stages.quality_inputs import find_inputs
from pipelines.stages.train_segmenter import train_segmenter
from pipelines.stages.train_translator import train_translator
from pipelines.stages.translate_experiment import translate_experiment
from pipelines.stages.translation_audit import audit_experiment
from pipelines.stages.translation_quality import evenly, measure_quality, write_quality
from pipelines.workspace import Workspace
from translate.methods import METHODS

MEASURED = 100
"""Frames of each side that quality is measured on."""


@dataclass(frozen=True)
class Variants:
    """An experiment, and what it becomes by each of its variants' settings."""

    base: Workspace
    experiments: dict[str, Experiment]

    def workspace(self, name: str, seed: int) -> Workspace:
        """A variant's own folders for what depends on its translator; all else is the experiment's."""
        experiment = self.experiments[name]
        start_from = {variant.name: variant.start_from for variant in self.base.experiment.variant}[name]
        if start_from is not None:
            initial = self.workspace(start_from, seed).translator(seed).absolute()
            translator = experiment.translator.model_copy(update={"initial": str(initial)})
            experiment = experiment.model_copy(update={"translator": translator})
        return Workspace(experiment, self.base.data, self.base.run / "variants" / name, shared=self.base.run)


def compare_variants(
    variants: Variants, machine: Machine, workers: int, command: str, restart: bool = False
) -> VariantStudy:
    """Train and evaluate what is missing of every variant and seed; write `variants.json` and `variants.md`.

    Args:
        variants: The experiment and its variants.
        machine: Where to compute.
        workers: Processes that make batches.
        command: As the user typed it; for the record.
        restart: Set aside runs made with other settings or data instead of refusing them.

    Returns:
        The record behind the table.
    """
    base = variants.base
    refuse_missing_labels(base)
    results = []
    for seed in base.experiment.compare.seeds:
        for arm in ("source_only", "oracle"):
            evaluation = _trained_and_evaluated(base, seed, arm, machine, workers, restart)
            results.append(_result(arm, seed, evaluation))
        for name in variants.experiments:
            its = variants.workspace(name, seed)
            results.append(_run_variant(name, its, seed, machine, workers, restart, command))
    study = VariantStudy(
        **origin(base, machine, command),
        settings={name: one.model_dump(mode="json") for name, one in variants.experiments.items()},
        results=results,
    )
    write_atomically(base.run / "variants.json", study.to_json().encode())
    write_atomically(base.run / "variants.md", markdown_table(study).encode())
    return study


def _run_variant(
    name: str, workspace: Workspace, seed: int, machine: Machine, workers: int, restart: bool, command: str
) -> VariantResult:
    train_translator(workspace, seed, machine, workers, restart)
    translate_experiment(workspace, seed, machine, workers, restart)
    audit_experiment(workspace, seed, machine, command)
    evaluation = _trained_and_evaluated(workspace, seed, "translated", machine, workers, restart)
    figures = _expert_after_translator(workspace, seed, machine) | _quality(workspace, seed, machine)
    return _result(name, seed, evaluation, training_seconds(workspace.translator(seed)), figures)


def _expert_after_translator(workspace: Workspace, seed: int, machine: Machine) -> dict[str, float]:
    """The source-only net on real frames that were translated to source first, where the method learns that way."""
    method = METHODS[workspace.experiment.translator.method]
    if "target_to_source" not in method.directions or method.takes != "image":
        return {}
    segmenter, translator = workspace.segmenter(seed, "source_only"), workspace.translator(seed)
    evaluation = evaluate_through(workspace, segmenter, translator, "target_to_source", None, machine)
    return {"source-only net on frames translated to source, mIoU": evaluation.mean_iou()}


def _quality(workspace: Workspace, seed: int, machine: Machine) -> dict[str, float]:
    """Measures of the translated frames, the oracle being the expert; kept, and read back while the frames stay."""
    inputs = find_inputs(workspace, seed, None, None, (), None)
    identity = {"manifest": sha256_of(inputs.folder / MANIFEST), "precision": machine.precision}
    path = inputs.folder / "quality.json"
    if not path.exists() or read_json(path)["about"] != identity:
        expert, extractors = inputs.networks(None, machine)
        frames, real = evenly(inputs.frames, MEASURED), evenly(inputs.target_images(), MEASURED)
        write_quality(
            path, measure_quality(frames, real, machine, extractors, expert, inputs.expert_encodings), identity
        )
    rows = read_json(path)["figures"]
    return {row["name"].split("@")[0]: row["translated"] for row in rows if row["translated"] is not None}


def _trained_and_evaluated(
    workspace: Workspace, seed: int, arm: str, machine: Machine, workers: int, restart: bool
) -> Evaluation:
    train_segmenter(workspace, seed, arm, machine, workers, restart)
    return evaluate_checkpoint(workspace, workspace.segmenter(seed, arm), None, machine)


def _result(
    name: str,
    seed: int,
    evaluation: Evaluation,
    translator_seconds: float | None = None,
    figures: dict[str, float] | None = None,
) -> VariantResult:
    return VariantResult(
        name=name,
        seed=seed,
        mean_iou=evaluation.mean_iou(),
        interval=evaluation.interval(),
        iou=evaluation.iou(),
        translator_seconds=translator_seconds,
        figures=figures or {},
    )
