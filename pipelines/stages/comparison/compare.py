"""The question the project exists for: how much of the domain gap did translation close?

Three arms train the same network under one budget and the same seeds: on source frames as they are, on translated
frames, and on labelled real frames (the oracle). Whatever is already trained with the same settings and data is used
as it is.
"""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from pipelines.data.disk.files import write_atomically
from pipelines.data.disk.manifest import read_manifest
from pipelines.data.frames import FrameSet
from pipelines.data.images import read_image
from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError
from pipelines.experiment.arms import COMPARED, adaptation_title, adapted_to
from pipelines.experiment.identity import scores_count
from pipelines.experiment.training_preview import refuse_missing_of_comparison
from pipelines.experiment.workspace import Workspace
from pipelines.progress import duration
from pipelines.report.error_maps import ErrorPicture, most_confused, ranked_frames
from pipelines.report.feature_study import FeatureStudy
from pipelines.report.pages.page import Gallery, PredictionPicture, Translation, write_report
from pipelines.report.study import ArmResult, FrameScore, NetworkFacts, Study
from pipelines.report.tables import markdown_table
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.stages.comparison.origin import origin
from pipelines.stages.comparison.start import start_of
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint, labelled_frames
from pipelines.stages.evaluation.scores import Evaluation, read_prediction
from pipelines.stages.features.feature_study import study_features_of_arms
from pipelines.stages.quality.translation_audit import audit_experiment
from pipelines.stages.training.perceptual_loss import perceptual_loss_in_words
from pipelines.stages.training.style_encoder import refuse_missing_style_encoder
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.translating.translate_experiment import translate_experiment
from segment.classes import CLASS_NAMES, TRAIN_IDS_13, TRAIN_IDS_16
from segment.complexity import count_flops, count_parameters, measure_latency
from segment.networks import NETWORKS

SHOWN_TRANSLATIONS = 4
SHOWN_PREDICTIONS = 3
SEARCHED_NEIGHBOURS = 300
NEIGHBOUR_SIZE = (32, 16)


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
    refuse_missing_of_comparison(workspace)
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
        notes=[*_notes(workspace), _counted(first), *remarks],
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
    """Before hours of training, not after them."""
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
    metrics = _rows(run / "metrics.jsonl")
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


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def training_seconds(run: Path) -> float:
    """Seconds that the steps of a run took, from the logged sample of them."""
    rows = _rows(run / "timings.jsonl")
    return float(np.mean([row["seconds"] for row in rows])) * rows[-1]["step"]


def _notes(workspace: Workspace) -> list[str]:
    """What was trained, in words: the translator and the adaptation, as far as an arm uses them, and what all share."""
    notes = [_translator_in_words(workspace)] if workspace.translates else []
    translator = workspace.experiment.translator
    if workspace.translates and translator.wants_perceptual_loss:
        run = workspace.translator(workspace.experiment.compare.seeds[0])
        notes += filter(None, [perceptual_loss_in_words(translator, run)])
    adaptation = workspace.experiment.segmenter.adaptation
    if adaptation is not None:
        segmenter = workspace.experiment.segmenter.model_dump()
        title = adaptation_title(segmenter)
        told = adaptation.declared_values()
        if adaptation.added_norm is not None:
            told |= {f"feature norm's {name}": value for name, value in adaptation.added_norm.declared_values().items()}
        knobs = ", ".join(f"{name} {value}" for name, value in told.items())
        notes.append(f"Adaptation: {title} on {adapted_to(segmenter)} ({knobs}); the others do not adapt.")
    same = "Every arm: same network, initial weights per seed, steps, batch, augmentation and evaluation"
    if workspace.experiment.segmenter.initial is not None:
        same = (
            f"The adapted arm starts from {workspace.experiment.segmenter.initial}, whose training adds to its budget. "
            "Every arm: same network, steps, batch, augmentation, evaluation"
        )
    return [
        *notes,
        f"{same}; the last checkpoint is evaluated, none is chosen on the validation frames.",
    ]


def _translator_in_words(workspace: Workspace) -> str:
    seeds = workspace.experiment.compare.seeds
    used = [seeds[0]] if workspace.experiment.compare.one_translator else list(seeds)
    settings = workspace.experiment.translator
    took = ", ".join(duration(training_seconds(workspace.translator(seed))) for seed in used)
    shared = "one translator, shared by all seeds" if len(used) < len(seeds) else "one translator per seed"
    guidance = settings.guided_by
    guided = "" if guidance is None else f", guided by the expert {guidance.expert}"
    crop = settings.crop if isinstance(settings.crop, int) else "x".join(map(str, settings.crop))
    return (
        f"Translator: {settings.method}, {settings.generator} with {settings.generator_channels} channels{guided}, "
        f"{settings.steps} steps of {crop}-pixel crops; {shared}; training took about {took}."
    )


def _counted(evaluation: Evaluation) -> str:
    """What a mean IoU is over: of the classes that the labels can express, those that are labelled or predicted."""
    subsets = (range(len(CLASS_NAMES)), TRAIN_IDS_16, TRAIN_IDS_13)
    all_19, of_16, of_13 = (len(evaluation.scored(among)) for among in subsets)
    once, means = "", f" (mIoU 16 over at most {of_16}, mIoU 13 over at most {of_13} of them)"
    if evaluation.groups:
        once, means = ", merged ones counted once", ""
    labelled = evaluation.merged.sum((0, -1))
    shown = sum(bool(labelled[train_id]) for train_id in evaluation.scored(subsets[0]))
    return (
        f"The labels can express {all_19} classes{once}, of which the validation frames show {shown}. Mean IoU is over "
        f"those that are shown or predicted{means}. A pixel predicted as any other class is a miss of its true class."
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


def gather_pictures(workspace: Workspace, evaluations: dict[tuple[int, str], Evaluation]) -> Gallery:
    """The pictures of the first seed: translations beside their nearest real frame; best and worst predictions."""
    seed = workspace.experiment.compare.seeds[0]
    scores = np.array(evaluations[seed, "translated"].frame_scores())
    order = np.argsort(scores, kind="stable")[: np.isfinite(scores).sum()]  # NaN, a frame without labels, comes last
    count = min(SHOWN_PREDICTIONS, len(order) // 2)  # of each end; a frame that is alone is the best
    here = {arm: evaluations[seed, arm] for arm in COMPARED}
    losses = _rows(workspace.translator(seed) / "metrics.jsonl") if workspace.translates else []
    return Gallery(
        translations=_translations(workspace, seed) if workspace.translates else [],
        best=[_prediction(workspace, seed, here, int(i)) for i in order[::-1][: max(1, count)]],
        worst=[_prediction(workspace, seed, here, int(i)) for i in order[:count]],
        translator_curve=[(row["step"], {k: v for k, v in row.items() if k != "step"}) for row in losses],
        errors={
            arm: _errors(workspace, workspace.segmenter(seed, arm), evaluation) for arm, evaluation in here.items()
        },
    )


def _translations(workspace: Workspace, seed: int) -> list[Translation]:
    folder = workspace.translated(seed)
    entries = read_manifest(folder / "manifest.jsonl")
    chosen = [entries[i] for i in np.linspace(0, len(entries) - 1, min(SHOWN_TRANSLATIONS, len(entries))).astype(int)]
    sources = {f"{frames.name}/{frame.name}": frame.image for frames in workspace.source for frame in frames.frames}
    real = [(frames, i) for frames in workspace.target for i in range(len(frames))]
    real = real[:: 1 + len(real) // SEARCHED_NEIGHBOURS]
    thumbnails = np.stack([_thumbnail(frames.read_image(i)) for frames, i in real])
    shown = []
    for entry in chosen:
        translated = read_image(folder / entry.image)
        nearest = int(np.square(thumbnails - _thumbnail(translated)).mean((1, 2, 3)).argmin())
        neighbour = real[nearest][0].read_image(real[nearest][1])
        shown.append(Translation(read_image(sources[entry.frame]), translated, neighbour, entry.frame))
    return shown


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """A coarse picture in which frames of similar layout and light are near each other."""
    return cv2.resize(image, NEIGHBOUR_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)


def _prediction(workspace: Workspace, seed: int, evaluations: dict[str, Evaluation], place: int) -> PredictionPicture:
    name = evaluations["translated"].names[place]
    frames, index = _validation_frame(workspace.validation, name)
    return PredictionPicture(
        name=name,
        image=frames.read_image(index),
        label=frames.read_label_map(index),
        predictions={arm: read_prediction(workspace.segmenter(seed, arm) / "evaluation", name) for arm in COMPARED},
        scores={arm: evaluation.frame_scores()[place] for arm, evaluation in evaluations.items()},
    )


def _errors(workspace: Workspace, run: Path, evaluation: Evaluation) -> list[ErrorPicture]:
    """The best, median and worst frame of one arm."""
    scores = evaluation.frame_scores()
    found = []
    for rank, place in ranked_frames(scores).items():
        name = evaluation.names[place]
        frames, index = _validation_frame(workspace.validation, name)
        picture = ErrorPicture(
            rank=rank,
            name=name,
            score=scores[place],
            image=frames.read_image(index),
            label=frames.read_label_map(index),
            prediction=read_prediction(run / "evaluation", name),
            confused=most_confused(evaluation.merged[place].tolist()),
            groups=evaluation.groups,
        )
        found.append(picture)
    return found


def _validation_frame(sets: list[FrameSet], name: str) -> tuple[FrameSet, int]:
    for frames in sets:
        for index, frame in enumerate(frames.frames):
            if f"{frames.name}/{frame.name}" == name:
                return frames, index
    raise KeyError(name)
