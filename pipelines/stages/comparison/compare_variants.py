"""Which way of translating or adapting helps? Variants of one experiment under one budget, beside its references.

Each variant is the experiment with a few settings changed. Whatever is already trained with the same settings and data
is used as it is, so a variant can be added later and costs only itself. Several machines may share the work: each takes
what no other is at.
"""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from pipelines.data.disk.files import sha256_of, write_atomically
from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.manifest import MANIFEST
from pipelines.data.selection.evenly import evenly
from pipelines.engine.session import Session
from pipelines.errors import BusyError, NumericalError
from pipelines.experiment.arms import REFERENCES, few_labels_name
from pipelines.experiment.trained import load_ensemble
from pipelines.experiment.training_preview import refuse_missing, trainings_of_variants
from pipelines.experiment.variants import Variants
from pipelines.experiment.workspace import Workspace
from pipelines.report.pages.variants_page import write_variants_page
from pipelines.report.variant_tables import markdown_table
from pipelines.report.variants import VariantResult, VariantStudy
from pipelines.runtimes.frame_prediction import Inference, TestTimeAugmentation
from pipelines.stages.comparison.compare import refuse_missing_labels
from pipelines.stages.comparison.logged import training_seconds
from pipelines.stages.comparison.origin import origin
from pipelines.stages.comparison.start import start_of
from pipelines.stages.evaluation.evaluate import EvaluationOptions, evaluate_checkpoint, evaluate_segmenter
from pipelines.stages.evaluation.evaluate_through import evaluate_through
from pipelines.stages.evaluation.scores import ALL_CLASSES, Evaluation
from pipelines.stages.quality.quality_inputs import find_inputs
from pipelines.stages.quality.translation_audit import audit_experiment
from pipelines.stages.quality.translation_quality import measure_quality, write_quality
from pipelines.stages.training.style_encoder import refuse_missing_style_encoder
from pipelines.stages.training.train_segmenter import refuse_unfit_method, train_segmenter
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.translating.translate_experiment import translate_experiment
from segment.classes import TRAIN_IDS_13, TRAIN_IDS_16
from segment.metrics.regions import gap_interval
from translate.methods import METHODS

QUALITY = "quality_of_variants.json"
"""Beside the `quality.json` that `translate quality` writes, which may be of other frames and another height."""
MEASURED = 100
"""Frames of each side that quality is measured on."""
SECONDS_BETWEEN_LOOKS = 30.0
"""How long to wait before looking again whether other processes have finished what is missing."""

Measured = tuple[VariantResult, Evaluation | None]
"""One row and seed; without an evaluation where no segmenter is trained."""
Measurement = Callable[[], Measured]
"""Trains and evaluates what is missing of one row and seed."""
Result = TypeVar("Result")


def compare_variants(variants: Variants, session: Session, wait: Callable[[float], None] = time.sleep) -> VariantStudy:
    """Train and evaluate what is missing of every variant and seed; write `variants.json`, `.md` and `.html`
    (`variants_test` on the test frames).

    What another process is at is left to it and asked for again later: the same command on several machines with one
    disk shares the work, and each ends with the whole table. A training that collapses costs its own place in the table
    and no other.

    Args:
        variants: The experiment and its variants.
        session: How to compute.
        wait: Called with seconds where all that is missing is being made elsewhere.

    Returns:
        The record behind the table.
    """
    base = variants.base
    refuse_missing_labels(base)
    refuse_missing(trainings_of_variants(variants))
    for seed in base.experiment.compare.seeds:
        for labels in filter(None, variants.budgets()):
            variants.few_labels(labels).labelled_subset(seed)  # before hours of training: more than there are
    for name in variants.rows():
        its = variants.named[name].experiment
        beside = base.beside(its, variants.folder(name), base.run)
        refuse_missing_style_encoder(beside)
        if variants.named[name].settings.leaves_a_segmenter:
            refuse_unfit_method(beside, base.experiment.compare.seeds, "translated")
    wanted: dict[tuple[int, str], Measurement] = {}
    for seed in base.experiment.compare.seeds:
        for arm in REFERENCES:
            wanted[seed, arm] = partial(_reference, base, arm, seed, session)
        for labels in variants.budgets():
            if labels:  # with all of them it is the oracle
                its = variants.few_labels(labels)
                wanted[seed, few_labels_name(labels)] = partial(_few_labels, its, labels, seed, session)
        for name in variants.rows():
            wanted[seed, name] = partial(_run_variant, variants, name, seed, session)
    found, stopped = measured(wanted, wait)
    study = VariantStudy(
        **origin(base, session),
        settings={name: variants.named[name].experiment.model_dump(mode="json") for name in variants.rows()},
        results=[found[row][0] for row in wanted if row in found],
        stopped={f"{name}, seed {seed}": why for (seed, name), why in stopped.items()},
        groups=[list(group) for group in base.experiment.class_groups],
    )
    study = replace(study, gap_intervals=gap_intervals(study, {row: one for row, (_, one) in found.items() if one}))
    write_atomically(written(base, "json"), study.to_json().encode())
    write_atomically(written(base, "md"), markdown_table(study).encode())
    write_variants_page(study, written(base, "html"))
    return study


def written(base: Workspace, suffix: str) -> Path:
    """The file of a comparison's tables: RUN/variants.SUFFIX, or RUN/variants_test.SUFFIX on the test frames."""
    return base.run / f"{base.on_part('variants')}.{suffix}"


def gap_intervals(
    study: VariantStudy, evaluations: Mapping[tuple[int, str], Evaluation]
) -> dict[str, tuple[float, float]]:
    """95 % of the share of the gap of each row that has one, by what its evaluations' intervals are drawn over."""
    found = {}
    for name in study.names():
        if name in REFERENCES or study.gap(name) is None:
            continue
        counts = {
            one: torch.stack([evaluations[seed, one].of_units() for seed in study.seeds_of_gap(name)])
            for one in (name, *REFERENCES)
        }
        scored = next(iter(evaluations.values())).scored(ALL_CLASSES)
        ends = gap_interval(counts["source_only"], counts[name], counts["oracle"], seed=0, train_ids=scored)
        if all(end == end for end in ends):
            found[name] = ends
    return found


def measured(
    wanted: dict[tuple[int, str], Callable[[], Result]], wait: Callable[[float], None]
) -> tuple[dict[tuple[int, str], Result], dict[tuple[int, str], str]]:
    """All results, in whatever order other processes leave them to us; and what has none, with the reason.

    Args:
        wanted: By seed and row; one that raises BusyError is asked again, after the others. One that raises
            NumericalError has no result.
        wait: Called with seconds where nothing is left but what others are at.
    """
    results: dict[tuple[int, str], Result] = {}
    stopped: dict[tuple[int, str], str] = {}
    told: set[str] = set()
    waited_for = 0
    while left := [row for row in wanted if row not in results and row not in stopped]:
        busy = 0
        for row in left:
            try:
                results[row] = wanted[row]()
            except BusyError as error:
                busy += 1
                what = str(error.place or error)
                if what not in told:  # many rows may build on one
                    told.add(what)
                    print(
                        f"{row[1]}, seed {row[0]}, and all else that needs {what} wait for the other process that "
                        "makes it; this one goes on with what is free",
                        file=sys.stderr,
                    )
            except NumericalError as error:
                stopped[row] = str(error)
                print(f"{row[1]}, seed {row[0]} has no result: {error}", file=sys.stderr)
        if busy == len(left):
            if busy != waited_for:  # hours of waiting are not a line for each look
                print(f"{busy} of {len(wanted)} are made by other processes; looking twice a minute", file=sys.stderr)
            waited_for = busy
            wait(SECONDS_BETWEEN_LOOKS)
    return results, stopped


def _reference(base: Workspace, arm: str, seed: int, session: Session) -> Measured:
    evaluation = _trained_and_evaluated(base, seed, arm, session)
    return _result(arm, seed, evaluation, start=start_of(base, seed, base.segmenter(seed, arm)))


def _few_labels(its: Workspace, labels: int, seed: int, session: Session) -> Measured:
    evaluation = _trained_and_evaluated(its, seed, "few_labels", session)
    start = start_of(its, seed, its.segmenter(seed, "few_labels"))
    return _result(few_labels_name(labels), seed, evaluation, labels=labels, start=start)


def _run_variant(variants: Variants, name: str, seed: int, session: Session) -> Measured:
    variant = variants.named[name]
    _trained(variants, name, seed, session)
    if variant.settings.average:
        return _averaged(variants, name, seed, session)
    its = variants.workspace(name, seed)
    evaluation, seconds, figures, start = None, None, {}, ""
    if variant.settings.train_segmenter:
        evaluation = evaluate_checkpoint(its, its.segmenter(seed, "translated"), session)
        start = start_of(its, seed, its.segmenter(seed, "translated"))
    if variant.leaves_a_translator:
        seconds = training_seconds(its.translator(seed))
        figures = _expert_after_translator(its, seed, session) | _quality(its, seed, session)
    return _result(name, seed, evaluation, seconds, figures, variant.family, variant.labels, start)


def _trained(variants: Variants, name: str, seed: int, session: Session) -> None:
    """Train what is missing of one variant, after those that it needs."""
    for needed in variants.needed(name):
        _trained(variants, needed, seed, session)
    for its, arm in variants.arms(name).values():
        train_segmenter(its, seed, arm, session)
    if variants.named[name].settings.average:
        return
    its = variants.workspace(name, seed)
    if variants.named[name].leaves_a_translator:
        train_translator(its, seed, session)
        translate_experiment(its, seed, session)
        # Whoever judges: busy or collapsed, it costs this row its place and not the whole table.
        train_segmenter(variants.base, its.translator_seed(seed), "oracle", session)
        train_segmenter(variants.base, seed, "source_only", session)
        audit_experiment(its, seed, session)
    if variants.named[name].settings.train_segmenter:
        train_segmenter(its, seed, "translated", session)


def _averaged(variants: Variants, name: str, seed: int, session: Session) -> Measured:
    """The mean of several rows' networks, all of which are trained."""
    variant, averaged = variants.named[name], variants.averaged(name, seed)
    runs = [its.segmenter(seed, arm) for its, arm in averaged]
    start = " and ".join(dict.fromkeys(start_of(its, seed, run) for (its, _), run in zip(averaged, runs, strict=True)))
    folder = variants.folder(name) / f"seed-{seed}" / variants.base.on_part("evaluation")
    looks = Inference(augmentation=TestTimeAugmentation(flip=variant.settings.flip))
    trained = load_ensemble(runs, session.machine, variant.settings.weights)
    evaluation = evaluate_segmenter(variants.base, trained, session, EvaluationOptions(looks, output=folder))
    return _result(name, seed, evaluation, family=variant.family, labels=variant.labels, start=start)


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
    inputs = find_inputs(workspace, seed)
    networks = inputs.networks(session)
    identity = {
        "manifest": sha256_of(inputs.folder / MANIFEST),
        "precision": session.machine.precision,
        "features": [extractor.name for extractor in networks.extractors],
    }
    path = inputs.folder / QUALITY
    if not path.exists() or read_json(path)["about"] != identity:
        frames, real = evenly(inputs.frames, MEASURED), evenly(inputs.target_images(), MEASURED)
        write_quality(path, measure_quality(frames, real, session, networks), identity)
    rows = read_json(path)["figures"]
    return {row["name"].split("@")[0]: row["translated"] for row in rows if row["translated"] is not None}


def _trained_and_evaluated(workspace: Workspace, seed: int, arm: str, session: Session) -> Evaluation:
    return evaluate_checkpoint(workspace, train_segmenter(workspace, seed, arm, session), session)


def _result(
    name: str,
    seed: int,
    evaluation: Evaluation | None,
    translator_seconds: float | None = None,
    figures: dict[str, float] | None = None,
    family: str | None = None,
    labels: int | None = None,
    start: str = "",
) -> Measured:
    result = VariantResult(
        name=name,
        seed=seed,
        mean_iou=evaluation.mean_iou() if evaluation else None,
        interval=evaluation.interval() if evaluation else None,
        iou=evaluation.iou() if evaluation else None,
        translator_seconds=translator_seconds,
        figures=figures or {},
        mean_iou_16=evaluation.synthia_mean_iou(TRAIN_IDS_16) if evaluation else None,
        mean_iou_13=evaluation.synthia_mean_iou(TRAIN_IDS_13) if evaluation else None,
        family=family or name,
        labels=labels,
        start=start,
    )
    return result, evaluation
