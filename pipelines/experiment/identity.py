"""What decides the outcome of each stage, as JSON: the identity by which a command knows the runs that it began.

Settings, frames by content, the seed, and what the stage builds on by what that was made from. A run whose inputs
differ is refused, so what is found here stays the same for ever: a setting added later leaves its default out.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.data.disk.ownership import as_json, differing, read_plan
from pipelines.data.frames import FrameSet
from pipelines.data.selection.scores import read_scores
from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.errors import UserError
from pipelines.experiment.arms import ARMS, COMPARED, ENCODER, EXPERT, INITIAL, TEACHERS, arm_named, learns_from_labels
from pipelines.experiment.elsewhere import (
    named_weights,
    refuse_missing_weights,
    segmenter_elsewhere,
    translator_elsewhere,
)
from pipelines.experiment.saving import RETENTION
from pipelines.experiment.segmenters import NO_FILES, SegmenterSettings
from pipelines.experiment.teachers import teachers_checkpoint, teachers_network, teachers_pairs
from pipelines.experiment.translators import PACKAGED, UNGUIDED, AnyTranslatorSettings, GuidanceSettings
from pipelines.experiment.workspace import Workspace
from pipelines.settings import decisive

OF_TARGET = {"target", "labelled_target", "style", "adaptation"}
"""The frames of a stage that come from the target's sets."""


def translator_inputs(workspace: Workspace, seed: int) -> dict[str, Any]:
    """What decides the translator's outcome: its settings, frames, seed, and the runs that it builds on."""
    settings = workspace.experiment.translator
    inputs = {
        "stage": "translator",
        "seed": seed,
        "settings": known_translator_settings(workspace, seed),
        "frames": _translator_frames(workspace, seed),
    }
    if settings.initial == UNGUIDED:
        inputs["initial"] = translator_inputs(workspace.unguided(), seed)
    if settings.learns_from == "translated":
        inputs |= _teacher_inputs(workspace, seed, inputs)
    if settings.guided_by is not None:
        inputs |= _guidance_inputs(workspace, settings.guided_by, seed, inputs)
    return inputs | _unusable(workspace, inputs["frames"])


def translator_settings(settings: AnyTranslatorSettings) -> dict[str, Any]:
    """What of a translator's settings decides its outcome; what it names of elsewhere, by its name."""
    return {key: value for key, value in decisive(settings).items() if key not in RETENTION}


def known_translator_settings(workspace: Workspace, seed: int) -> dict[str, Any]:
    """What of a translator's settings decides its outcome; files and runs of elsewhere by their content.

    A teacher that is a folder of frames is there by its name: it counts among the frames.

    Raises:
        UserError: What is named is not there.
        CheckpointError: A run is of another kind, not begun, or damaged.
    """
    asked = workspace.experiment.translator
    settings = translator_settings(asked) | _weights_by_content(workspace, seed)
    if asked.initial not in (None, UNGUIDED):
        settings["initial"] = checkpoint_hash(translator_elsewhere("translator.initial", asked.initial))
    if asked.learns_from == "translated":
        teacher = teachers_checkpoint(workspace)
        if teacher is not None:
            settings["teacher"] = checkpoint_hash(teacher)
        if asked.finds_real_patches and asked.encoder != PACKAGED and arm_named(ENCODER, asked.encoder) is None:
            settings["encoder"] = checkpoint_hash(segmenter_elsewhere(ENCODER, asked.encoder))
    if asked.guided_by is not None and workspace.expert_arm(asked.guided_by) is None:
        expert = checkpoint_hash(segmenter_elsewhere(EXPERT, asked.guided_by.expert))
        settings["guidance"] = settings["guidance"] | {"expert": expert}
    return settings


def _weights_by_content(workspace: Workspace, seed: int) -> dict[str, str]:
    """The files of others' weights that a translator's training reads, by the hash of each, wherever it lies.

    A run that was known by a file's path goes on being known so. One that is trained needs the file no more: where it
    is gone, the run's word counts.
    """
    recorded = _config_of(workspace.translator(seed)).get("settings", {})
    known = {}
    for name, given in named_weights(workspace.experiment.translator).items():
        if given in ("", PACKAGED):
            continue
        former = recorded.get(name, "")
        if os.path.expanduser(former) == given:  # runs once recorded a path as it was written, with its ~
            known[name] = former
        else:
            known[name] = workspace.sets.hash_of(Path(given)) if Path(given).is_file() else former or given
    return known


def _translator_frames(workspace: Workspace, seed: int) -> dict[str, str]:
    """The frames that a translator learns from, by part."""
    fingerprint = workspace.sets.fingerprint
    translator = workspace.experiment.translator
    if translator.learns_from == "paired":
        return {"labelled_target": fingerprint(workspace.labelled_subset(seed))}
    if translator.learns_from == "translated" and not translator.finds_real_patches:
        return {"source": fingerprint(workspace.source)}
    return {"source": fingerprint(workspace.source), "target": fingerprint(workspace.target)}


def _unusable(workspace: Workspace, used: Collection[str]) -> dict[str, Any]:
    """The frames that are missing of the sets that a stage uses, where any is; by part of the experiment and set."""
    return unusable(
        source=workspace.source if "source" in used else (),
        target=workspace.target if {*used} & OF_TARGET else (),
    )


def unusable(**sets: Sequence[FrameSet]) -> dict[str, Any]:
    """The names of the frames that are missing of sets, by part of the experiment and set; empty where none is."""
    found = {
        part: {frames.name: sorted(frames.unusable) for frames in of_part if frames.unusable}
        for part, of_part in sets.items()
    }
    found = {part: names for part, names in found.items() if names}
    return {"unusable": found} if found else {}


def _teacher_inputs(workspace: Workspace, seed: int, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a student adds to a translator's inputs: its teacher, the generator whose features it imitates, and the
    segmenter by which real patches are found.

    A teacher that is a translator counts by its checkpoint and how it translates; its frames follow from these.
    """
    settings, added = workspace.experiment.translator, {}
    if teachers_checkpoint(workspace) is None:
        inputs["settings"]["teacher"] = workspace.sets.fingerprint(teachers_pairs(workspace, seed).translated)
        if settings.feature_weight > 0:
            added["features"] = checkpoint_hash(teachers_network(workspace).checkpoint)
    else:
        added["translation"] = workspace.experiment.translation.model_dump(mode="json")
    if settings.finds_real_patches and settings.encoder != PACKAGED:
        arm = arm_named(ENCODER, settings.encoder)
        if arm is not None:
            added["encoder"] = segmenter_inputs(workspace, seed, arm)
    return added


def _guidance_inputs(
    workspace: Workspace, guidance: GuidanceSettings, seed: int, inputs: dict[str, Any]
) -> dict[str, Any]:
    """What guidance adds to a translator's inputs: the expert, by what it was made from, and the few labels."""
    added: dict[str, Any] = {}
    arm = workspace.expert_arm(guidance)
    if arm is not None:
        added["expert"] = segmenter_inputs(workspace.expert_workspace(arm), seed, arm)
    if guidance.task_weight > 0:
        few = workspace.sets.fingerprint(workspace.labelled_subset(seed))
        added["frames"] = inputs["frames"] | {"labelled_target": few}
    return added


def segmenter_inputs(workspace: Workspace, seed: int, arm: str) -> dict[str, Any]:
    """What decides an arm's outcome: the settings, the frames of the shares it uses, its seed."""
    fingerprint = workspace.sets.fingerprint
    shares = ARMS[arm].shares(workspace.experiment.segmenter)
    used: dict[str, Any] = {}
    if shares["source"] > 0:
        used["source"] = fingerprint(workspace.labelled_source)
    if shares["target"] > 0:
        used["target"] = fingerprint(workspace.target_labels(seed, arm))
    if shares["translated"] > 0:
        used |= translation_inputs(workspace, seed)
    segmenter = workspace.experiment.segmenter
    if segmenter.style_from_target > 0 and shares["target"] < 1:
        used["style"] = fingerprint(workspace.target)
    own = ARMS[arm].settings(segmenter)
    if own.adaptation is not None:
        used["adaptation"] = fingerprint(workspace.target)
        if learns_from_labels(own.adaptation.method):
            used["labelled_target"] = fingerprint(workspace.target_labels(seed, arm))
    if own.initial is not None:
        used["initial"] = _trained_before(workspace, INITIAL, own.initial, seed, own.network)
    if own.teachers:
        used["teachers"] = [_trained_before(workspace, TEACHERS, teacher, seed) for teacher in own.teachers]
    settings = segmenter_settings(workspace, arm)
    return {"stage": "segmenter", "seed": seed, "settings": settings, "frames": used} | _unusable(workspace, used)


def segmenter_settings(workspace: Workspace, arm: str) -> dict[str, Any]:
    """What of a segmenter's settings decides an arm's outcome; files of elsewhere by their content.

    Raises:
        UserError: A file of weights is not there.
    """
    segmenter = workspace.experiment.segmenter
    shares = ARMS[arm].shares(segmenter)
    settings = segmenter.identity(ARMS[arm].adapts) | {"shares": shares}
    if shares["translated"] == 0:  # what only concerns translated frames
        settings = {k: v for k, v in settings.items() if k not in ("least_label_consistency", "weigh_by_consistency")}
    if segmenter.initial not in ARMS:  # like teachers: known among the frames by what it was made from
        settings.pop("initial", None)
    settings["encoder_weights"] = _encoder_weights(workspace, segmenter)
    return settings


NAMED_ELSEWHERE = ("initial", "teacher", "encoder", "encoder_weights", "perceptual_weights", "guidance")
"""The settings of translators that name what a run is known by the content of, wherever it lies."""


def translator_begun_otherwise(workspace: Workspace, seed: int) -> list[str]:
    """The settings, by name, that a translator's run was begun with otherwise than asked for; none where there is none.

    No frame is looked at: they may differ still.
    """
    former = _config_of(workspace.translator(seed)).get("settings")
    if not isinstance(former, Mapping):
        return []
    try:
        asked = known_translator_settings(workspace, seed)
        folder = asked.get("teacher") == getattr(workspace.experiment.translator, "teacher", "")
        by_name = ("teacher",) if folder else ()  # of frames
    except UserError:  # some of it is yet to be made; where it is not, who asks refuses it
        asked, by_name = translator_settings(workspace.experiment.translator), NAMED_ELSEWHERE
    return _otherwise(former, asked, by_name)


def segmenter_begun_otherwise(workspace: Workspace, seed: int, arm: str, among: Collection[str] = ()) -> list[str]:
    """The same of an arm's run. What the settings name of elsewhere must be there.

    Args:
        workspace: Its experiment and folders.
        seed: Of the training.
        arm: Key of ARMS.
        among: Names that `initial` and `teachers` may have of what is yet to be known by its content.
    """
    begun = _config_of(workspace.segmenter(seed, arm))
    former, beside = begun.get("settings"), begun.get("frames")
    if not isinstance(former, Mapping) or not isinstance(beside, Mapping):
        return []
    own = ARMS[arm].settings(workspace.experiment.segmenter)
    by_name = () if own.initial in ARMS and own.initial not in among else ("initial",)
    changed = _otherwise(former, segmenter_settings(workspace, arm), by_name)
    named = {INITIAL: () if own.initial is None else (own.initial,), TEACHERS: own.teachers}
    for setting, names in named.items():
        if any(name in ARMS or name in among for name in names):
            continue  # an arm has a run of its own to tell by
        key = setting.removeprefix("segmenter.")
        known: Any = [_trained_before(workspace, setting, name, seed) for name in names] or None
        if beside.get(key) != (known[0] if known and setting == INITIAL else known):
            changed.append(key)
    return list(dict.fromkeys(changed))


def _otherwise(former: Mapping[str, Any], asked: Mapping[str, Any], by_name: Collection[str]) -> list[str]:
    """The names of settings that differ, but for those that are known `by_name` alone."""
    changed = differing(former, as_json(asked))
    return [name for name, _, _ in changed if name not in by_name]


def segmenter_run_inputs(workspace: Workspace, seed: int, arm: str) -> dict[str, Any]:
    """What an arm's run folder is known by: its inputs, and the scores of the translated frames if they count.

    A run that was also known by the path of what it started from goes on being known so, wherever that lies now.

    Scores are there when the frames are, so nothing that is asked for before (make's inputs, the report's) holds them.

    Raises:
        UserError: They count, and the frames are not there or not scored.
    """
    inputs = segmenter_inputs(workspace, seed, arm)
    if scores_count(workspace, arm):
        inputs["frames"]["scores"] = read_scores(workspace.finished_translation(seed)).fingerprint()
    former = _config_of(workspace.segmenter(seed, arm)).get("settings", {})
    if "initial" in former and "initial" in inputs["frames"]:
        inputs["settings"].setdefault("initial", former["initial"])
    return inputs


def _config_of(run: Path) -> dict[str, Any]:
    """What a run folder says it was made by; nothing where it does not, which is told when it is opened."""
    try:
        return read_plan(run / "config.json")
    except (OSError, ValueError):
        return {}


def scores_count(workspace: Workspace, arm: str) -> bool:
    """Whether an arm drops or weighs translated frames by their label consistency."""
    settings = workspace.experiment.segmenter
    asked = settings.least_label_consistency is not None or settings.weigh_by_consistency
    return asked and ARMS[arm].shares(settings)["translated"] > 0


def _trained_before(workspace: Workspace, setting: str, segmenter: str, seed: int, network: str | None = None) -> Any:
    """What an adapted arm starts or learns from, an arm or the path of a run, by what it was made from."""
    arm = arm_named(setting, segmenter)
    if arm is not None:
        return segmenter_inputs(workspace, seed, arm)
    return checkpoint_hash(segmenter_elsewhere(setting, segmenter, network))


def _encoder_weights(workspace: Workspace, segmenter: SegmenterSettings) -> str | None:
    """The hash of the file that an encoder starts from. The names of torchvision's and of packages' hold theirs."""
    refuse_missing_weights(segmenter)
    source = segmenter.encoder_weights
    if source is None or source in NO_FILES:
        return source
    return workspace.sets.hash_of(Path(source))


def translation_inputs(workspace: Workspace, seed: int) -> dict[str, Any]:
    """What decides the translated frames. A translator of label maps has learnt from none of the frames that it
    translates, and is not known by them.
    """
    inputs = {
        "translator": translator_inputs(workspace, workspace.translator_seed(seed)),
        "translation": workspace.experiment.translation.model_dump(mode="json"),
    }
    if workspace.experiment.translator.learns_from == "paired":
        inputs["source"] = workspace.sets.fingerprint(workspace.labelled_source)
    return inputs


def report_inputs(workspace: Workspace) -> dict[str, Any]:
    """What decides the report: every arm's inputs and the frames that it is evaluated on."""
    arms = {
        f"{seed}/{arm}": segmenter_inputs(workspace, seed, arm)
        for seed in workspace.experiment.compare.seeds
        for arm in COMPARED
    }
    return {"stage": "report", "arms": arms, "validation": workspace.sets.fingerprint(workspace.validation)}
