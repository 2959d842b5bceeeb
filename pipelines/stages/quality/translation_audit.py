"""The audit of a translated set: what an expert still recognises, frame by frame, beside what it saw in the sources.

Translation itself stays free of experts; this is a second pass over its output. It may be killed: `audit.jsonl` keeps
what was counted, and the scores enter the manifest in one piece at the end. Several processes share the frames out:
each keeps what it counted in a file of its own until all is together.
"""

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pipelines.data.disk.files import storage_errors
from pipelines.data.disk.manifest import JOURNAL, MANIFEST, Journal, ManifestEntry, read_manifest, write_manifest
from pipelines.data.labels.shared_classes import SharedClasses
from pipelines.engine.launch import Machine, StopRequest, describe_machine
from pipelines.engine.session import Session
from pipelines.errors import Interrupted, UserError
from pipelines.experiment.workspace import Workspace
from pipelines.progress import Progress
from pipelines.report.pages.audit_page import Audit, AuditedFrame, AuditPicture, write_audit
from pipelines.runtimes.frame_prediction import Predictor
from pipelines.stages.quality.audit_records import (
    Record,
    counted_on,
    join_records,
    known_records,
    records_of,
    still_holds,
    write_records,
)
from pipelines.stages.quality.quality_inputs import QualityInputs, find_inputs
from pipelines.stages.quality.translated_pairs import (
    Expert,
    TranslatedFrame,
    edges_kept,
    load_expert,
    scored_classes,
)
from segment.class_groups import class_titles
from segment.metrics.merged_classes import merge_classes
from segment.metrics.regions import confusion_matrix
from translate.quality.consistency import class_flips, label_consistency

PAGE = "audit.html"
SECONDS_BETWEEN_WRITES = 60.0
FLAGGED = 0.05
"""Share of a class's pixels, over the whole set, from which on a flip is told."""
FLAGGED_IN_FRAME = 0.2
"""Share of a class's pixels in one frame from which on a flip is told: small classes flip by a few noisy pixels."""


def audit_experiment(workspace: Workspace, seed: int, session: Session) -> Audit:
    """Score the translated frames that serve `seed`; the expert is the experiment's oracle.

    Frames that serve several seeds are judged by the oracle of the seed that they were made with.

    Raises:
        UserError: The oracle is not trained to its end, or there are no translated frames.
    """
    inputs = find_inputs(workspace, seed)
    if inputs.expert is None:
        oracle = workspace.segmenter(workspace.translator_seed(seed), "oracle")
        raise UserError(f"{oracle}: no trained oracle to score translated frames with")
    return audit_translation(inputs, load_expert(inputs.expert, session.machine), session)[0]


def audit_translation(
    inputs: QualityInputs, expert: Expert, session: Session, shown: int = 6, output: Path | None = None
) -> tuple[Audit, Path]:
    """Score every frame, and write a page of the worst ones.

    Args:
        inputs: See `audit_frames`.
        expert: See `audit_frames`.
        session: How to compute, and the command for the page.
        shown: Frames with the lowest scores, and again frames that lost most, whose pictures are on the page.
        output: The page; None for `audit.html` in the folder.

    Returns:
        The audit, and where its page is. In processes that only help, without pictures: the leader writes the page.
    """
    page = output or inputs.folder / PAGE
    with StopRequest().listening() as stop:
        audit = audit_frames(inputs, expert, session, lambda: bool(stop))
    if not session.machine.processes.leads:
        return audit, page
    by_name = {frame.name: frame for frame in inputs.frames}
    lowest, lost = (
        [audit_picture(by_name[audited.name], audited, expert.predict) for audited in some]
        for some in worst_frames(audit, shown)
    )
    audit = replace(
        audit,
        command=session.command,
        date=datetime.date.today().isoformat(),
        machine=describe_machine(session.machine),
        lowest=lowest,
        lost=lost,
    )
    write_audit(audit, page)
    return audit, page


def audit_frames(
    inputs: QualityInputs,
    expert: Expert,
    session: Session,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Audit:
    """Count what is not counted yet, and write the scores into the manifest.

    Args:
        inputs: A translated set with its manifest and all of its frames.
        expert: Looks at translated frames and, where they are known, at their sources.
        session: How structure scores are computed.
        stop_requested: Asked before each frame; once true, what was counted is kept and the rest left out.

    Returns:
        All scores and flips; no pictures yet.

    Raises:
        UserError: The folder is no translated set, or is being translated into.
        ImageError: A frame, its source or its label map cannot be used.
    """
    folder, frames = inputs.folder, inputs.frames
    if not (folder / MANIFEST).exists():
        raise UserError(f"{folder}: has no {MANIFEST}: no translated set, or not finished; translate first")
    processes = session.machine.processes
    with contextlib.ExitStack() as held:
        journal = held.enter_context(_Locked(folder)) if processes.leads else None
        processes.refuse_difference([expert.sha256, [[frame.name, frame.source is not None] for frame in frames]])
        entries = {entry.frame: entry for entry in read_manifest(folder / MANIFEST)}
        if entries.keys() != {frame.name for frame in frames}:
            raise UserError(f"{folder}: other frames were translated into it just now; run the audit again")
        records = _counted(folder, frames, entries, expert, session.machine, stop_requested)
        classes = scored_classes(frames, inputs.expert_encodings)
        audited = [_audited(record, classes) for record in records]
        scored_entries = [
            entries[frame.name].model_copy(
                update={
                    "label_consistency": _number(frame.label_consistency),
                    "structure": _number(frame.structure),
                    "expert_sha256": expert.sha256,
                }
            )
            for frame in audited
        ]
        if journal is not None:
            _write_scores(folder, entries, scored_entries, journal)
    total = [_total([r.translated for r in records]), _total([r.source for r in records])]
    after, before = (None if counts is None else merge_classes(counts, classes.groups) for counts in total)
    return Audit(
        folder=folder.name,
        expert=expert.name,
        frames=audited,
        flips=[] if after is None else class_flips(after, before, classes.scored, FLAGGED),
        titles=class_titles(classes.groups),
        scored=classes.scored,
        with_sources=before is not None,
        groups=classes.groups,
    )


def worst_frames(audit: Audit, count: int) -> tuple[list[AuditedFrame], list[AuditedFrame]]:
    """The frames with the lowest label consistency, and those that lost most against their sources (none twice)."""
    scored = [frame for frame in audit.frames if math.isfinite(frame.label_consistency)]
    lowest = sorted(scored, key=lambda frame: (frame.label_consistency, frame.name))[:count]
    lost = [frame for frame in scored if frame not in lowest and frame.change < 0]
    return lowest, sorted(lost, key=lambda frame: (frame.change, frame.name))[:count]


def audit_picture(frame: TranslatedFrame, audited: AuditedFrame, predict: Predictor) -> AuditPicture:
    """The pictures of one frame."""
    translated, source = frame.read()
    label = frame.read_label(translated)
    size = translated.shape[:2]
    return AuditPicture(
        frame=audited,
        source=source,
        translated=translated,
        label=label,
        seen=predict(translated, size),
        seen_in_source=None if source is None else predict(source, size),
    )


# ------------------------------------------------------------------------------------------------------------- counting


def _counted(
    folder: Path,
    frames: Sequence[TranslatedFrame],
    entries: dict[str, ManifestEntry],
    expert: Expert,
    machine: Machine,
    stop_requested: Callable[[], bool],
) -> list[Record]:
    """A record of every frame, in name order; those of an earlier audit by the same expert are taken over."""
    processes = machine.processes
    known, place = known_records(folder), folder / records_of(processes)
    total = len(processes.share(frames))
    records: list[Record] = []
    new, last_write = 0, time.monotonic()
    with Progress("audit", total, "frame", stream=processes.stderr()) as progress:
        for done, frame in enumerate(processes.walk(frames), 1):
            record = known.get(frame.name)
            if record is None or not still_holds(record, frame, entries[frame.name], expert):
                if stop_requested():
                    write_records(place, records)
                    at = f"{done - 1} of {total} frames"
                    raise Interrupted(f"{folder}: audit stopped at {at}; the same command carries on")
                record = _count(frame, entries[frame.name], expert, machine)
                new += 1
            records.append(record)
            if new and time.monotonic() - last_write > SECONDS_BETWEEN_WRITES:
                write_records(place, records)
                last_write = time.monotonic()
            progress.reach(done)
    if new and processes.world_size > 1:
        write_records(place, records)  # before it waits for others, which may be gone
    together = processes.gathered(records)
    if processes.any(new > 0) or len(known) != len(together):
        join_records(folder, together, processes)
    return together


def _count(frame: TranslatedFrame, entry: ManifestEntry, expert: Expert, machine: Machine) -> Record:
    translated, source = frame.read()
    label = frame.read_label(translated)

    def counts(image: np.ndarray | None) -> torch.Tensor | None:
        if image is None or label is None:
            return None
        return confusion_matrix(torch.from_numpy(label), torch.from_numpy(expert.predict(image, label.shape)))

    kept = None if source is None else edges_kept(frame, source, translated, machine.device)
    return Record(
        frame.name,
        counted_on(entry),
        expert.sha256,
        source is not None,
        None if kept is None else round(kept, 6),
        counts(translated),
        counts(source),
    )


def _audited(record: Record, classes: SharedClasses) -> AuditedFrame:
    after, before = (
        None if counts is None else merge_classes(counts, classes.groups)
        for counts in (record.translated, record.source)
    )
    return AuditedFrame(
        name=record.frame,
        label_consistency=_consistency(after, classes.scored),
        source_consistency=_consistency(before, classes.scored),
        structure=math.nan if record.structure is None else record.structure,
        flips=[] if after is None else class_flips(after, before, classes.scored, FLAGGED_IN_FRAME),
    )


def _consistency(counts: torch.Tensor | None, scored: list[int]) -> float:
    return math.nan if counts is None else round(label_consistency(counts, scored), 6)


def _total(counts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """The sum of what was counted; None where nothing was."""
    known = [one for one in counts if one is not None]
    return torch.stack(known).sum(0) if known else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


# -------------------------------------------------------------------------------------------------------------- on disk


class _Locked(Journal):
    """The translation's own lock on its folder; a journal that this made is removed again.

    A journal that was there (of a run with failures) stays: the next translation reads it before the manifest.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / JOURNAL)

    def close(self) -> None:
        """Let others in."""
        if not self.entries:
            with storage_errors(self.path):
                self.path.unlink(missing_ok=True)
        super().close()


def _write_scores(
    folder: Path, former: dict[str, ManifestEntry], entries: list[ManifestEntry], journal: Journal
) -> None:
    """Journal first: whatever happens in between, a resumed translation finds scores at least as new as the manifest's.

    A manifest that says so already keeps its time: for make, a newer one means that the segmenter is out of date.
    """
    scored = {entry.frame: entry for entry in entries}
    changed = {name: entry for name, entry in scored.items() if former[name] != entry}
    if journal.entries:
        journal.append(changed.values())
    if changed:
        write_manifest(folder / MANIFEST, scored.values())
