"""Who a student's teacher is: a trained translator, whose translations are yet to be made, or a folder that holds them.

Told by what lies in the folder, without reading a tensor, for a student is known by it.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.data.disk.json_files import read_json
from pipelines.data.selection.teacher_frames import TeacherFrames, find_teacher_frames
from pipelines.engine.checkpoint_files import checkpoint_hash, resolve_checkpoint, settings_in
from pipelines.errors import UserError
from pipelines.experiment.elsewhere import translator_elsewhere
from pipelines.experiment.translators import StudentSettings, cannot_teach
from pipelines.experiment.workspace import Workspace

OF_A_RUN = ("config.json", "state.json")
"""What a run folder holds, or else a checkpoint."""
MADE_BY = "translation.json"
"""What a folder that our translator wrote tells of the checkpoint."""
BESIDE = "translator"
"""The run folder next to an experiment's translated frames."""


@dataclass(frozen=True)
class TeachersNetwork:
    """Where the network of a teacher is, and which way it translated."""

    checkpoint: Path
    direction: str


def teachers_checkpoint(workspace: Workspace) -> Path | None:
    """The checkpoint of the teacher; None where its translations are given.

    Raises:
        UserError: The settings name none, or what they name is not there; it does not go the way that they say, or is a
            folder of frames, which goes none; or its features are to be imitated and cannot be.
        CheckpointError: It is a run folder without a checkpoint, or no translator's.
    """
    settings = workspace.experiment.translator
    teacher = settings.teacher
    if not teacher:
        raise UserError(
            "translator.teacher is missing: name a translator (run folder or checkpoint) or a folder of translated "
            "frames; or move the student's settings to [student], and its teacher's to [translator]"
        )
    path = Path(teacher)
    if not path.exists():
        raise UserError(f"translator.teacher: {path} is not there; expected a translator or a folder of its frames")
    if not any((path / name).is_file() for name in OF_A_RUN):
        if settings.teacher_direction != "source_to_target":
            raise UserError(
                f"translator.teacher_direction is {settings.teacher_direction}, and {path} is a folder of frames, "
                "whose teacher has translated already; leave it out"
            )
        return None
    checkpoint = translator_elsewhere("translator.teacher", str(path))
    _refuse_unfit(settings, checkpoint)
    return checkpoint


def teachers_pairs(workspace: Workspace, seed: int) -> TeacherFrames:
    """The source frames and the teacher's translations of them, which must be there. UserError names what is not."""
    made_here = teachers_checkpoint(workspace) is not None
    given = Path(workspace.experiment.translator.teacher)
    return find_teacher_frames(workspace.teachers_frames(seed) if made_here else given, workspace.source)


def teachers_network(workspace: Workspace) -> TeachersNetwork:
    """The teacher as a network: the translator that the settings name, or the one beside the frames that they name.

    A translator is beside its frames as an experiment has it, in `translator` next to them; their record says whether
    it was this one that made them.

    Raises:
        UserError: There are only frames, or the network has no features to imitate.
        CheckpointError: A run folder has no checkpoint, or a damaged one.
    """
    checkpoint = teachers_checkpoint(workspace)
    if checkpoint is not None:
        return TeachersNetwork(checkpoint, workspace.experiment.translator.teacher_direction)
    folder = Path(workspace.experiment.translator.teacher)
    record, run = folder / MADE_BY, folder.absolute().parent / BESIDE
    if record.is_file() and any((run / name).is_file() for name in OF_A_RUN):
        made, checkpoint = read_json(record), resolve_checkpoint(run)
        if made.get("checkpoint_sha256") == checkpoint_hash(checkpoint):
            _refuse_unfit(workspace.experiment.translator, checkpoint)
            return TeachersNetwork(checkpoint, made["direction"])
    raise UserError(
        f"the student's feature_weight needs the teacher's network, and {folder} holds only its frames; name the "
        "translator that made them as its teacher, or set feature_weight to 0"
    )


def _refuse_unfit(student: StudentSettings, teacher: Path) -> None:
    """UserError where a student cannot learn from the translator of a checkpoint."""
    why = cannot_teach(student, settings_in(teacher, "translator"))
    if why is not None:
        raise UserError(f"translator.teacher: {teacher}: {why}")
