"""Which way of translating helps? Variants of one experiment under one budget, beside its source-only net and oracle.

Each variant is the experiment with a few settings changed. Whatever is already trained with the same settings and data
is used as it is, so a variant can be added later and costs only itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.files import sha256_of, write_atomically
from pipelines.data.manifest import MANIFEST
from pipelines.engine.runs import read_json
from pipelines.engine.session import Session
from pipelines.experiment.config import Experiment, VariantSettings
from pipelines.experiment.identity import translation_inputs
from pipelines.experiment.workspace import Workspace
from pipelines.report.variants import VariantResult, VariantStudy, markdown_table
from pipelines.stages.comparison.compare import refuse_missing_labels, training_seconds
from pipelines.stages.comparison.origin import origin
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
from pipelines.stages.evaluation.evaluate_through import evaluate_through
from pipelines.stages.evaluation.scores import Evaluation
from pipelines.stages.quality.quality_inputs import find_inputs
from pipelines.stages.quality.translation_audit import audit_experiment
from pipelines.stages.quality.translation_quality import evenly, measure_quality, write_quality
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.translating.translate_experiment import translate_experiment
from translate.methods import METHODS

MEASURED = 100
"""Frames of each side that quality is measured on."""


@dataclass(frozen=True)
class Variants:
    """An experiment, and what it becomes by each of its variants' settings."""

    base: Workspace
    experiments: dict[str, Experiment]

    def workspaces(self, seed: int) -> Iterator[tuple[VariantSettings, Workspace]]:
        """Each variant's folders, in order; ask for the next when one's translator is trained.

        What depends on the translator is a variant's own, unless an earlier one has the same translator and frames.
        """
        earlier: dict[str, Workspace] = {}
        for variant in self.base.experiment.variant:
            experiment = self.experiments[variant.name]
            if variant.start_from is not None:
                initial = str(earlier[variant.start_from].translator(seed).absolute())
                translator = experiment.translator.model_copy(update={"initial": initial})
                experiment = experiment.model_copy(update={"translator": translator})
            experiment = _with_segmenters_of(experiment, earlier, seed)
            its = self._workspace(variant.name, experiment)
            inputs = translation_inputs(its, seed)
            same = [one for one in earlier.values() if translation_inputs(one, seed) == inputs]
            its = self._workspace(variant.name, experiment, same[0].stage_one) if same else its
            earlier[variant.name] = its
            yield variant, its

    def _workspace(self, name: str, experiment: Experiment, stage_one: Path | None = None) -> Workspace:
        return self.base.beside(experiment, self.base.run / "variants" / name, self.base.run, stage_one)


def _with_segmenters_of(experiment: Experiment, earlier: dict[str, Workspace], seed: int) -> Experiment:
    """An experiment whose segmenter starts or learns from the run folders of the earlier variants that it names."""

    def run(name: str) -> str:
        return str(earlier[name].segmenter(seed, "translated").absolute()) if name in earlier else name

    segmenter = experiment.segmenter
    named = {"teachers": tuple(map(run, segmenter.teachers)), "initial": segmenter.initial and run(segmenter.initial)}
    return experiment.model_copy(update={"segmenter": segmenter.model_copy(update=named)})


def compare_variants(variants: Variants, session: Session) -> VariantStudy:
    """Train and evaluate what is missing of every variant and seed; write `variants.json` and `variants.md`.

    Args:
        variants: The experiment and its variants.
        session: How to compute.

    Returns:
        The record behind the table.
    """
    base = variants.base
    refuse_missing_labels(base)
    results = []
    for seed in base.experiment.compare.seeds:
        for arm in ("source_only", "oracle"):
            evaluation = _trained_and_evaluated(base, seed, arm, session)
            results.append(_result(arm, seed, evaluation))
        for variant, its in variants.workspaces(seed):
            results.append(_run_variant(variant, its, seed, session))
    study = VariantStudy(
        **origin(base, session),
        settings={name: one.model_dump(mode="json") for name, one in variants.experiments.items()},
        results=results,
    )
    write_atomically(base.run / "variants.json", study.to_json().encode())
    write_atomically(base.run / "variants.md", markdown_table(study).encode())
    return study


def _run_variant(variant: VariantSettings, its: Workspace, seed: int, session: Session) -> VariantResult:
    evaluation, seconds, figures = None, None, {}
    translates = its.translates or not variant.train_segmenter
    if translates:
        train_translator(its, seed, session)
        translate_experiment(its, seed, session)
        audit_experiment(its, seed, session)
    if variant.train_segmenter:
        evaluation = _trained_and_evaluated(its, seed, "translated", session)
    if translates:
        seconds = training_seconds(its.translator(seed))
        figures = _expert_after_translator(its, seed, session) | _quality(its, seed, session)
    return _result(variant.name, seed, evaluation, seconds, figures)


def _expert_after_translator(workspace: Workspace, seed: int, session: Session) -> dict[str, float]:
    """The source-only net on real frames that were translated to source first, where the method learns that way."""
    method = METHODS[workspace.experiment.translator.method]
    if "target_to_source" not in method.directions or method.takes != "image":
        return {}
    segmenter, translator = workspace.segmenter(seed, "source_only"), workspace.translator(seed)
    evaluation = evaluate_through(workspace, segmenter, translator, "target_to_source", session)
    return {"source-only net on frames translated to source, mIoU": evaluation.mean_iou()}


def _quality(workspace: Workspace, seed: int, session: Session) -> dict[str, float]:
    """Measures of the translated frames, the oracle being the expert; kept, and read back while the frames stay."""
    inputs = find_inputs(workspace, seed, None, None, (), None)
    identity = {"manifest": sha256_of(inputs.folder / MANIFEST), "precision": session.machine.precision}
    path = inputs.folder / "quality.json"
    if not path.exists() or read_json(path)["about"] != identity:
        frames, real = evenly(inputs.frames, MEASURED), evenly(inputs.target_images(), MEASURED)
        write_quality(path, measure_quality(frames, real, session, inputs.judges(session)), identity)
    rows = read_json(path)["figures"]
    return {row["name"].split("@")[0]: row["translated"] for row in rows if row["translated"] is not None}


def _trained_and_evaluated(workspace: Workspace, seed: int, arm: str, session: Session) -> Evaluation:
    run = train_segmenter(workspace, seed, arm, session)
    return evaluate_checkpoint(workspace, run, session)


def _result(
    name: str,
    seed: int,
    evaluation: Evaluation | None,
    translator_seconds: float | None = None,
    figures: dict[str, float] | None = None,
) -> VariantResult:
    return VariantResult(
        name=name,
        seed=seed,
        mean_iou=evaluation.mean_iou() if evaluation else None,
        interval=evaluation.interval() if evaluation else None,
        iou=evaluation.iou() if evaluation else None,
        translator_seconds=translator_seconds,
        figures=figures or {},
    )
