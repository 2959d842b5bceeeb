"""Who a student's teacher is: a trained translator, whose translations are yet to be made, or a folder that holds them.

Told by what lies in the folder, without reading a tensor, for a student is known by it.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.data.disk.json_files import read_json
from pipelines.data.selection.teacher_frames import TeacherFrames, find_teacher_frames
from pipelines.engine.checkpoint_files import checkpoint_hash, resolve_checkpoint
from pipelines.errors import UserError
from pipelines.experiment.elsewhere import translator_elsewhere
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
        UserError: The settings name none, or what they name is not there.
        CheckpointError: It is a run folder without a checkpoint, or no translator's.
    """
    teacher = workspace.experiment.translator.teacher
    if not teacher:
        raise UserError(
            "translator.teacher is missing: name a translator (run folder or checkpoint) or a folder of translated "
            "frames; or move the student's settings to [student], and its teacher's to [translator]"
        )
    path = Path(teacher).expanduser()
    if not path.exists():
        raise UserError(f"translator.teacher: {path} is not there; expected a translator or a folder of its frames")
    of_a_run = any((path / name).is_file() for name in OF_A_RUN)
    return translator_elsewhere("translator.teacher", str(path)) if of_a_run else None


def teachers_pairs(workspace: Workspace, seed: int) -> TeacherFrames:
    """The source frames and the teacher's translations of them, which must be there. UserError names what is not."""
    made_here = teachers_checkpoint(workspace) is not None
    given = Path(workspace.experiment.translator.teacher).expanduser()
    return find_teacher_frames(workspace.teachers_frames(seed) if made_here else given, workspace.source)


def teachers_network(workspace: Workspace) -> TeachersNetwork:
    """The teacher as a network: the translator that the settings name, or the one beside the frames that they name.

    A translator is beside its frames as an experiment has it, in `translator` next to them; their record says whether
    it was this one that made them.

    Raises:
        UserError: There are only frames.
        CheckpointError: A run folder has no checkpoint, or a damaged one.
    """
    checkpoint = teachers_checkpoint(workspace)
    if checkpoint is not None:
        return TeachersNetwork(checkpoint, workspace.experiment.translator.teacher_direction)
    folder = Path(workspace.experiment.translator.teacher).expanduser()
    record, run = folder / MADE_BY, folder.absolute().parent / BESIDE
    if record.is_file() and any((run / name).is_file() for name in OF_A_RUN):
        made, checkpoint = read_json(record), resolve_checkpoint(run)
        if made.get("checkpoint_sha256") == checkpoint_hash(checkpoint):
            return TeachersNetwork(checkpoint, made["direction"])
    raise UserError(
        f"the student's feature_weight needs the teacher's network, and {folder} holds only its frames; name the "
        "translator that made them as its teacher, or set feature_weight to 0"
    )
