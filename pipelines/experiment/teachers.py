"""Who a student's teacher is: a trained translator, whose translations are yet to be made, or a folder that holds them.

Told by what lies in the folder, without reading a tensor, for a student is known by it.
"""

from pathlib import Path

from pipelines.data.teacher_frames import TeacherFrames, find_teacher_frames
from pipelines.engine.checkpoint_files import resolve_checkpoint
from pipelines.errors import UserError
from pipelines.experiment.workspace import Workspace

OF_A_RUN = ("config.json", "state.json")
"""What a run folder holds, or else a checkpoint."""


def teachers_checkpoint(workspace: Workspace) -> Path | None:
    """The checkpoint of the teacher; None where its translations are given.

    Raises:
        UserError: The settings name none, or what they name is not there.
        CheckpointError: It is a run folder without a checkpoint.
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
    return resolve_checkpoint(path) if any((path / name).is_file() for name in OF_A_RUN) else None


def teachers_pairs(workspace: Workspace, seed: int) -> TeacherFrames:
    """The source frames and the teacher's translations of them, which must be there. UserError names what is not."""
    made_here = teachers_checkpoint(workspace) is not None
    given = Path(workspace.experiment.translator.teacher).expanduser()
    return find_teacher_frames(workspace.teachers_frames(seed) if made_here else given, workspace.source)
