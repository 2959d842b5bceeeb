"""Looking inside: do the features of translated and real frames of a class lie together, and does translation do it?

Several segmenters look at frames of every domain; their features become numbers, and points of a picture. As in Figure
3 of "Feature To Adapt" classes are coloured and domains marked; the numbers beside it are what a picture cannot prove.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import write_atomically
from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.manifest import MANIFEST
from pipelines.data.frames import open_frame_set
from pipelines.data.labels.shared_classes import encodings_of, shared_classes
from pipelines.data.readers.translated import TranslatedSettings
from pipelines.data.selection.evenly import evenly
from pipelines.engine.checkpoint_files import checkpoint_hash, is_finished, resolve_checkpoint
from pipelines.engine.launch import Machine, make_deterministic
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.arms import names, titles
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import load_segmenter
from pipelines.experiment.workspace import Workspace
from pipelines.progress import Progress
from pipelines.report.feature_study import CheckpointFeatures, FeatureStudy, FeatureStudyOptions, Identity
from pipelines.report.pages.features_page import write_features_page
from pipelines.stages.comparison.origin import origin
from pipelines.stages.features.class_features import ClassFeatures, FrameOfSet, class_features
from pipelines.stages.features.domain_pairs import domain_pairs
from pipelines.stages.features.feature_embedding import (
    embed,
    most_perplexity,
    one_embedding_holds,
    one_thread,
    shown_cells,
)
from segment.class_groups import Groups, class_titles
from segment.networks.segmenter import Segmenter

LOWEST_PERPLEXITY = 2
"""As low as `segment features` takes it."""

REPORTED = FeatureStudyOptions(frames=30, most_per_class=100, points=1000, lowers_perplexity=True)
"""For the report of a comparison: enough to see and to measure, in seconds."""

Domains = Mapping[str, Sequence[FrameOfSet]]


def study_features_of_arms(workspace: Workspace, seed: int, session: Session) -> FeatureStudy:
    """A look at the arms of a finished comparison, for its report: features.html and features.json in its folder.

    What is there is used if it is of the same checkpoints and frames and shows as much, so a richer page that somebody
    asked for stays.

    Raises:
        NoInputsError: There is nothing to compare.
    """
    page = workspace.run / "features.html"
    kept = _kept(workspace, seed, session.machine, page)
    return _study(_look(workspace, seed, {}, REPORTED, session), page) if kept is None else kept


def study_features(
    workspace: Workspace,
    seed: int,
    checkpoints: Mapping[str, Path],
    options: FeatureStudyOptions,
    session: Session,
    page: Path,
) -> FeatureStudy | None:
    """Compare the features of segmenters between domains; write the page, and the record as JSON beside it.

    Several processes share the frames out; the leader draws and writes.

    Args:
        workspace: The experiment, for its frames.
        seed: Of the comparison, and of every draw.
        checkpoints: Run folders or checkpoints by title; none: the experiment's arms of this seed.
        options: How many frames, cells and points.
        session: How to compute, and the command for the page.
        page: Where the page goes.

    Returns:
        The record; None in a process that only helped to look.

    Raises:
        UserError: No arm is trained and none is named, the figures asked for do not fit, or the processes have
            different frames or checkpoints.
        NoInputsError: A domain has no labelled frame, or the domains have nothing in common.
    """
    if not options.lowers_perplexity and options.perplexity >= most_perplexity(options.points):
        raise UserError(_too_many_neighbours(options.perplexity, options.points, "a larger --points"))
    look = _look(workspace, seed, checkpoints, options, session)
    return _study(look, page) if session.machine.processes.leads else None


@dataclass(frozen=True)
class _Look:
    """What was drawn of which segmenters and frames."""

    workspace: Workspace
    seed: int
    options: FeatureStudyOptions
    session: Session
    opened: Mapping[str, tuple[Segmenter, SegmenterSettings, Path]]
    domains: Domains
    groups: Groups
    drawn: Mapping[str, Mapping[str, ClassFeatures]]
    notes: list[str]
    identity: Identity


def _look(
    workspace: Workspace, seed: int, checkpoints: Mapping[str, Path], options: FeatureStudyOptions, session: Session
) -> _Look:
    machine = session.machine
    make_deterministic(machine.deterministic)
    named = dict(checkpoints) or trained_arms(workspace, seed)
    domains = domain_frames(workspace, seed, options.frames)
    groups = merged_groups(domains)
    opened = {title: load_segmenter(path, machine) for title, path in named.items()}
    used = {title: checkpoint for title, (*_, checkpoint) in opened.items()}
    identity = _identity(workspace, seed, machine, options, used, domains)
    machine.processes.refuse_difference([asdict(identity)])
    drawn = _draw(
        {title: (network, settings.height) for title, (network, settings, _) in opened.items()},
        domains,
        groups,
        options.most_per_class,
        seed,
        machine,
    )
    _refuse_nothing_in_common(drawn)
    notes = _notes(workspace, seed, domains, named if not checkpoints else None)
    return _Look(workspace, seed, options, session, opened, domains, groups, drawn, notes, identity)


def _study(look: _Look, page: Path) -> FeatureStudy:
    """Draw and measure what was looked at, and write it."""
    workspace, seed, options, drawn, domains = look.workspace, look.seed, look.options, look.drawn, look.domains
    shown = {title: shown_cells(of, options.points // len(drawn)) for title, of in drawn.items()}
    joint = one_embedding_holds(shown)
    perplexity = _fitting_perplexity(drawn, shown, joint, options)
    with one_thread():
        pictures = embed(shown, joint, perplexity)
        found = [
            CheckpointFeatures(
                title=title,
                style=_style(workspace, title, place),
                network=settings.network,
                checkpoint=checkpoint_hash(checkpoint)[:12],
                dimensions=next(iter(drawn[title].values())).values.shape[1],
                mean_iou=_mean_iou(checkpoint),
                cells={domain: features.counts() for domain, features in drawn[title].items()},
                pairs=domain_pairs(drawn[title], {domain: len(places) for domain, places in domains.items()}, seed),
                points=pictures[title][0],
                pca_shares=pictures[title][1],
            )
            for place, (title, (_, settings, checkpoint)) in enumerate(look.opened.items())
        ]
    study = FeatureStudy(
        **origin(workspace, look.session),
        settings=workspace.experiment.model_dump(mode="json"),
        seed=seed,
        perplexity=perplexity,
        most_per_class=options.most_per_class,
        joint=joint,
        domains={domain: len(places) for domain, places in domains.items()},
        titles=class_titles(look.groups),
        checkpoints=found,
        notes=look.notes,
        identity=look.identity,
    )
    write_features_page(study, page)
    write_atomically(page.with_suffix(".json"), study.to_json().encode())  # last: it says that the page is whole
    return study


def _identity(
    workspace: Workspace,
    seed: int,
    machine: Machine,
    options: FeatureStudyOptions,
    checkpoints: Mapping[str, Path],
    domains: Domains,
) -> Identity:
    return Identity(
        seed=seed,
        precision=machine.precision,
        manner=options,
        checkpoints={title: checkpoint_hash(checkpoint) for title, checkpoint in checkpoints.items()},
        frames={
            domain: workspace.sets.fingerprint(
                [replace(frames, frames=[frames.frames[index]]) for frames, index in places]
            )
            for domain, places in domains.items()
        },
    )


def _kept(workspace: Workspace, seed: int, machine: Machine, page: Path) -> FeatureStudy | None:
    """The record beside a page, if a look at the arms now would find the same or less."""
    path = page.with_suffix(".json")
    study = FeatureStudy.from_json(path.read_bytes()) if path.exists() and page.exists() else None
    if study is None or study.identity is None or not study.identity.manner.is_as_rich_as(REPORTED):
        return None
    options = study.identity.manner
    checkpoints = {title: resolve_checkpoint(run) for title, run in trained_arms(workspace, seed).items()}
    domains = domain_frames(workspace, seed, options.frames)
    if study.identity != _identity(workspace, seed, machine, options, checkpoints, domains):
        return None
    # The page may be older than the evaluation that the report quotes.
    return replace(
        study, checkpoints=[replace(one, mean_iou=_mean_iou(checkpoints[one.title])) for one in study.checkpoints]
    )


def _draw(
    networks: Mapping[str, tuple[Segmenter, int]],
    domains: Domains,
    groups: Groups,
    most: int,
    seed: int,
    machine: Machine,
) -> dict[str, dict[str, ClassFeatures]]:
    """Cells by title and domain of networks and the heights at which they see frames."""
    drawn: dict[str, dict[str, ClassFeatures]] = {title: {} for title in networks}
    processes = machine.processes
    own = sum(len(processes.share(places)) for places in domains.values())
    with Progress("features", len(networks) * own, "frame", stream=processes.stderr()) as progress:

        def told() -> None:
            progress.reach(progress.done + 1)

        for title, (network, height) in networks.items():
            for domain, places in domains.items():
                drawn[title][domain] = class_features(network, height, places, groups, machine, most, seed, told)
    return drawn


# -------------------------------------------------------------------------------------------------- what is looked at


def trained_arms(workspace: Workspace, seed: int) -> dict[str, Path]:
    """The run folders of the arms that are trained to their end, by their titles.

    Raises:
        UserError: There is none.
    """
    runs = {title: workspace.segmenter(seed, arm) for arm, title in _titles(workspace).items()}
    found = {title: run for title, run in runs.items() if is_finished(run)}
    if not found:
        raise UserError(
            f"{workspace.run}: no arm of seed {seed} is trained; run `sim2real compare` first, or name segmenters "
            "with --checkpoint"
        )
    return found


def domain_frames(workspace: Workspace, seed: int, most: int) -> dict[str, list[FrameOfSet]]:
    """Labelled frames of each domain, evenly spread; translated ones only where they are made.

    Target frames are those for validation: no arm has learnt from them. Source and translated frames correspond.
    """
    sets = {"source": workspace.labelled_source}
    folder = workspace.translated(seed).absolute()
    if (folder / MANIFEST).exists():
        settings = TranslatedSettings(reader="translated", name="translated", root=str(folder))
        sets["translated"] = [open_frame_set(settings, workspace.run).only_labelled()]
    sets["target"] = [frames.only_labelled() for frames in workspace.validation]
    found = {}
    for domain, of in sets.items():
        places = [(frames, index) for frames in of for index in range(len(frames))]
        if not places:
            raise NoInputsError(f"no {domain} frame has a label map; without one its features have no class")
        found[domain] = evenly(sorted(places, key=_full_name), most)
    return found


def _full_name(place: FrameOfSet) -> str:
    """What the frame and its translation are both called."""
    frames, index = place
    name = frames.frames[index].name
    return name if frames.name == "translated" else f"{frames.name}/{name}"


def merged_groups(domains: Domains) -> list[list[int]]:
    """Groups of classes that the labels of some domain cannot tell apart; groups that share a class are one."""
    sets = {id(frames): frames for places in domains.values() for frames, _ in places}
    return shared_classes(encodings_of(sets.values())).groups


def _refuse_nothing_in_common(drawn: Mapping[str, Mapping[str, ClassFeatures]]) -> None:
    for title, of in drawn.items():
        if not set.intersection(*(set(features.counts()) for features in of.values())):
            raise NoInputsError(
                f"{title}: the domains have no class in common whose cells could be compared; use more --frames"
            )


def _fitting_perplexity(
    drawn: Mapping[str, Mapping[str, ClassFeatures]],
    shown: Mapping[str, Mapping[str, ClassFeatures]],
    joint: bool,
    options: FeatureStudyOptions,
) -> float:
    """The perplexity to use, at most a sixth of the points of an embedding where it may be lowered.

    Raises:
        UserError: It may not be lowered, and there are too few points for it.
        NoInputsError: There are too few points even for the lowest.
    """
    sizes = {title: _cells(of) for title, of in shown.items()}
    fewest = sum(sizes.values()) if joint else min(sizes.values())
    if not options.lowers_perplexity:
        if options.perplexity < most_perplexity(fewest):
            return options.perplexity
        all_sizes = {title: _cells(shown_cells(of, _cells(of))) for title, of in drawn.items()}
        more = "more --frames or a larger --per-class" if sizes == all_sizes else "a larger --points"
        raise UserError(_too_many_neighbours(options.perplexity, fewest, more))
    if fewest < 6 * LOWEST_PERPLEXITY:
        raise NoInputsError(f"only {fewest} cells show one class alone, too few for a picture; use more --frames")
    return min(options.perplexity, float(fewest // 6))


def _cells(of: Mapping[str, ClassFeatures]) -> int:
    return sum(map(len, of.values()))


def _too_many_neighbours(perplexity: float, points: int, more: str) -> str:
    """What is wrong with a perplexity for a picture of so many points, and what to do; `more` brings more of them."""
    most = math.floor(most_perplexity(points) * 10) / 10
    lower = f"give one from {LOWEST_PERPLEXITY} to less than {most:g}, or use " if most > LOWEST_PERPLEXITY else "use "
    return (
        f"--perplexity {perplexity:g} takes more than {3 * perplexity + 1:g} points in a picture, and there are only "
        f"{points}; {lower}{more}"
    )


# -------------------------------------------------------------------------------------------------------- small facts


def _titles(workspace: Workspace) -> dict[str, str]:
    return titles(workspace.experiment.segmenter.model_dump())


def _style(workspace: Workspace, title: str, place: int) -> str:
    arms = {title: arm for arm, title in _titles(workspace).items()}
    return arms.get(title, f"series-{place % 6}")


def _mean_iou(checkpoint: Path) -> float:
    """The score that the evaluation in its run folder found, if that is of this checkpoint."""
    path = checkpoint.parent.parent / "evaluation" / "evaluation.json"
    if not path.exists():
        return math.nan
    evaluation: dict[str, Any] = read_json(path)
    same = evaluation.get("identity", {}).get("checkpoint") == checkpoint_hash(checkpoint)
    value = evaluation.get("mean_iou")
    return value if same and value is not None else math.nan


def _notes(workspace: Workspace, seed: int, domains: Domains, arms: Mapping[str, Path] | None) -> list[str]:
    notes = []
    if "translated" not in domains:
        notes.append(f"No translated frames of seed {seed}: only source and target are compared.")
    missing = []
    if arms is not None:
        called = names(workspace.experiment.segmenter.model_dump())
        missing = [called[arm] for arm, title in _titles(workspace).items() if title not in arms]
    if missing:
        notes.append(f"Not trained, and so not shown: {', '.join(missing)}.")
    return notes
