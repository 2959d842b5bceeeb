"""The question the project exists for: how much of the domain gap did translation close?

Three arms train the same network under one budget and the same seeds: on source frames as they are, on translated
frames, and on labelled real frames (the oracle). Whatever is already trained with the same settings and data is used
as it is.
"""

from dataclasses import replace

import torch

from pipelines.data.disk.files import write_atomically
from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError
from pipelines.experiment.arms import COMPARED
from pipelines.experiment.identity import scores_count
from pipelines.experiment.training_preview import refuse_missing, trainings_of_comparison
from pipelines.experiment.workspace import Workspace
from pipelines.report.feature_study import FeatureStudy
from pipelines.report.pages.page import write_report
from pipelines.report.study import ArmResult, FrameScore, NetworkFacts, Study
from pipelines.report.tables import markdown_table
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.stages.comparison.gallery import gather_pictures
from pipelines.stages.comparison.logged import rows, training_seconds
from pipelines.stages.comparison.notes import note_on_classes, notes_on_training
from pipelines.stages.comparison.origin import origin
from pipelines.stages.comparison.start import start_of
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint, labelled_frames
from pipelines.stages.evaluation.scores import Evaluation
from pipelines.stages.features.feature_study import study_features_of_arms
from pipelines.stages.quality.translation_audit import audit_experiment
from pipelines.stages.training.style_encoder import refuse_missing_style_encoder
from pipelines.stages.training.train_segmenter import refuse_unfit_method, train_segmenter
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.translating.translate_experiment import translate_experiment
from segment.classes import CLASS_NAMES, TRAIN_IDS_13, TRAIN_IDS_16
from segment.complexity import count_flops, count_parameters, measure_latency
from segment.networks import NETWORKS


def compare(workspace: Workspace, session: Session) -> Study:
    """Train and evaluate what is missing of every seed and arm; write `results.json`, `results.md`, `report.html`.

    The features of the first seed's arms are compared as well: `features.json`, `features.html`.

    Args:
        workspace: The experiment, its data and its folder.
        session: How to compute.

    Returns:
        The record behind the report.
    """
    refuse_missing_labels(workspace)
    refuse_missing(trainings_of_comparison(workspace))
    refuse_unfit_method(workspace, workspace.experiment.compare.seeds, "translated")
    if workspace.translates:
        refuse_missing_style_encoder(workspace)
    results, evaluations = [], {}
    for seed in workspace.experiment.compare.seeds:
        train_segmenter(workspace, seed, "source_only", session)
        train_segmenter(workspace, seed, "oracle", session)
        if workspace.translates:
            train_translator(workspace, seed, session)
            translate_experiment(workspace, seed, session)
        if scores_count(workspace, "translated"):  # the oracle is their judge
            audit_experiment(workspace, seed, session)
        train_segmenter(workspace, seed, "translated", session)
        for arm in COMPARED:
            evaluations[seed, arm] = evaluate_checkpoint(workspace, workspace.segmenter(seed, arm), session)
            results.append(_arm_result(workspace, seed, arm, evaluations[seed, arm]))
    first = evaluations[workspace.experiment.compare.seeds[0], "oracle"]
    features, remarks = _features(workspace, session)
    study = Study(
        **origin(workspace, session),
        settings=workspace.experiment.model_dump(mode="json"),
        notes=[*notes_on_training(workspace), note_on_classes(first), *remarks],
        classes=list(CLASS_NAMES),
        groups=first.groups,
        results=results,
        network=network_facts(workspace, session.machine),
    )
    write_atomically(workspace.run / "results.json", study.to_json().encode())
    write_atomically(workspace.run / "results.md", markdown_table(study).encode())
    write_report(study, gather_pictures(workspace, evaluations), workspace.run / "report.html", features)
    return study


def refuse_missing_labels(workspace: Workspace) -> None:
    """NoInputsError where the arms would have no labels to learn from or to be scored by: before hours of training."""
    if not workspace.labelled_source or not workspace.labelled_target:
        raise NoInputsError("no target frame has a label map; the oracle has nothing to learn from")
    if not any(frame.label for frames in workspace.validation for frame in frames.frames):
        raise NoInputsError("no validation frame has a label map; there is nothing to evaluate on")
    labelled_frames(workspace.validation)  # refuses those without a class
    workspace.sets.learnable(workspace.labelled_target)


def _features(workspace: Workspace, session: Session) -> tuple[FeatureStudy | None, list[str]]:
    """How the first seed's arms see the domains, and what is to be noted; None where there is nothing to compare."""
    try:
        seed = workspace.experiment.compare.seeds[0]
        features = study_features_of_arms(workspace, seed, session)
    except NoInputsError as error:
        return None, [f"Features by class and domain are not shown; `sim2real segment features` says: {error}"]
    return features, features.notes


def _arm_result(workspace: Workspace, seed: int, arm: str, evaluation: Evaluation) -> ArmResult:
    run = workspace.segmenter(seed, arm)
    metrics = rows(run / "metrics.jsonl")
    summary = evaluation.summary()
    scores = zip(evaluation.names, evaluation.frame_scores(), strict=True)
    return ArmResult(
        arm=arm,
        seed=seed,
        mean_iou=evaluation.mean_iou(),
        mean_iou_16=evaluation.synthia_mean_iou(TRAIN_IDS_16),
        mean_iou_13=evaluation.synthia_mean_iou(TRAIN_IDS_13),
        interval=evaluation.interval(),
        pixel_accuracy=summary["pixel_accuracy"],
        iou=evaluation.iou(),
        confusion=evaluation.merged.sum(0).tolist(),
        frames=[FrameScore(name, score) for name, score in scores],
        curve=[(row["step"], row["main"]) for row in metrics],
        training_seconds=training_seconds(run),
        start=start_of(workspace, seed, run),
    )


def network_facts(workspace: Workspace, machine: Machine) -> NetworkFacts:
    """Size, and speed measured now on this machine at the size of the first validation frame as the network sees it."""
    settings = workspace.experiment.segmenter
    seen = as_seen(workspace.validation[0].read_image(0), settings.height, "cpu")
    size = (seen.shape[-2], seen.shape[-1])
    network = NETWORKS[settings.network](auxiliary=False).to(machine.device, memory_format=torch.channels_last).eval()
    latency = measure_latency(network, size, device=machine.device)
    return NetworkFacts(
        parameters=count_parameters(network),
        gflops=count_flops(network, size) / 1e9,
        input_size=f"{size[1]}x{size[0]}",
        latency_ms_p50=latency.p50_ms,
        latency_ms_p90=latency.p90_ms,
        frames_per_second=1000 / latency.p50_ms,
        device=describe_machine(replace(machine, precision="fp32")),  # no autocast around what was timed
        name=f"network {settings.network}",
        measurement=(
            f"batch 1, {latency.dtype}, random weights, {latency.repeats} timed runs after warm-up, network alone"
        ),
    )
