"""What a comparison's report says of its making: what was trained, what all arms share, what a mean IoU is over."""

from pipelines.experiment.arms import adaptation_title, adapted_to
from pipelines.experiment.workspace import Workspace
from pipelines.progress import duration
from pipelines.stages.comparison.logged import training_seconds
from pipelines.stages.evaluation.scores import Evaluation
from pipelines.stages.training.perceptual_loss import perceptual_loss_in_words
from segment.classes import CLASS_NAMES, TRAIN_IDS_13, TRAIN_IDS_16


def notes_on_training(workspace: Workspace) -> list[str]:
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


def note_on_classes(evaluation: Evaluation) -> str:
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
