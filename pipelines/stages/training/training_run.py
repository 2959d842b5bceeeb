"""What training has in common in both stages: a run folder, the loop, and the word that the run is complete."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.disk.json_files import read_json, write_json
from pipelines.data.disk.ownership import shortened
from pipelines.data.frames import FrameSet
from pipelines.data.sampling.batches import FramePool
from pipelines.data.sampling.workers import stream
from pipelines.engine.capabilities import capabilities
from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.loop import Schedule, train
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.runs import RunFolder, open_run
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.saving import RETENTION
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.translators import TranslatorTraining
from pipelines.progress import Progress
from segment.methods.method import Method

NOTES = "notes.json"
"""In a run folder: what was found on the machine that began the run."""


@dataclass(frozen=True)
class TrainingJob:
    """What is trained, and where it is kept."""

    run: Path
    """The run folder."""
    inputs: dict[str, Any]
    """Everything that decides the outcome, with "stage" and "seed" among it; kept as the run's config."""
    settings: TranslatorTraining | SegmenterSettings
    """The stage's settings; they tell the length and the rhythm."""
    title: str
    """Shown beside the progress."""
    build: Callable[[], Method]
    """Makes the method, freshly drawn. Called only if there is something to train, as is `make_batches`."""
    make_batches: Callable[[], Callable[[int], Any]]
    """Reads what it must and returns the function from a step to its batch."""
    describe: Callable[[Any], dict[str, Any]] = lambda method: {}
    """What each checkpoint tells of the method besides its stage and settings."""


def train_run(job: TrainingJob, session: Session) -> Path:
    """Train a method in a run folder, carry on where it stopped, or leave a finished run as it is.

    Args:
        job: What to train.
        session: How to compute. Each process that trains has so many workers.

    Returns:
        The run folder.
    """
    inputs, settings = job.inputs, job.settings
    machine, processes = session.machine.for_training(), session.machine.processes
    processes.refuse_difference([inputs, machine.device.type, machine.precision])
    run = open_run(job.run, inputs, session.restart, processes, settings.retention)
    try:
        steps = min(2, settings.steps) if session.first_steps_alone else settings.steps
        if processes.from_leader(run.steps_done() if processes.leads else 0) < steps:
            machine = resuming_machine(run, session.machine)
            batches = job.make_batches()
            schedule = Schedule(
                steps,
                inputs["seed"],
                checkpoint_every=settings.checkpoint_every,
                preview_every=settings.preview_every,
            )
            method = job.build()
            told = settings.model_dump(mode="json", exclude=RETENTION)
            about = {"stage": inputs["stage"], "settings": told} | job.describe(method)
            # Only now: what is wrong with the frames is to be the one line that is said.
            print(f"{job.title}: {describe_machine(machine)} ({capabilities()})", file=processes.stderr())
            train(
                method,
                lambda first, last: stream(batches, first, last, session.workers),
                run,
                schedule,
                machine,
                about,
                job.title,
            )
        run.finish()
    finally:
        run.close()
    return run.path


def refuse_uneven_batches(setting: str, batch: int, processes: Processes) -> None:
    """UserError if the processes cannot share a batch evenly, so that the mean over them is the mean over the batch."""
    if batch % processes.world_size:
        raise UserError(
            f"{setting} is {batch}, which {processes.world_size} processes cannot share evenly; set it to a multiple "
            f"of {processes.world_size}, or start another number of processes"
        )


def resuming_machine(run: RunFolder, machine: Machine) -> Machine:
    """The machine as training uses it: a run that was begun elsewhere goes on in the precision that it was begun in."""
    processes, usual = machine.processes, machine.for_training()
    begun = run.begun_in() if processes.leads else None
    in_bf16 = processes.from_leader(int((begun or usual.precision) == "bf16"))
    chosen = machine.for_training("bf16" if in_bf16 else "fp32")
    if chosen.precision != usual.precision:
        print(
            f"{run.path} was begun in {chosen.precision} and goes on so, though {usual.precision} is the faster here",
            file=processes.stderr(),
        )
    return chosen


def filled_pool(
    name: str, sets: Sequence[FrameSet], height: int, labels: bool = False, processes: Processes = ALONE
) -> FramePool:
    """The frames of a domain, read as far as they are kept (label maps all) before the first step; bad ones raise."""
    pool = FramePool(sets, height)
    with Progress(f"read {name} frames", len(pool), "frame", stream=processes.stderr()) as progress:
        pool.read_all(labels, progress.reach)
    return pool


def note(run: Path, key: str, value: object) -> bool:
    """Note in a run folder what was found on this machine; whether it is new there.

    Raises:
        UserError: The run was begun with something else.
    """
    path = run / NOTES
    notes = read_json(path) if path.exists() else {}
    if key not in notes:
        write_json(path, notes | {key: value})
        return True
    if notes[key] != value:
        then, now = ("none" if found is None else shortened(str(found)) for found in (notes[key], value))
        raise UserError(
            f"{run} was begun with other files ({key}: {then} then, {now} now); make them what they were, or choose "
            "another --run"
        )
    return False


def noted(run: Path, key: str) -> Any:
    """What a run folder notes under a key; None where it notes nothing."""
    path = run / NOTES
    return read_json(path).get(key) if path.exists() else None
