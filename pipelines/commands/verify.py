"""`sim2real verify`: is what was written still what was written?"""

from pathlib import Path

import click

from pipelines.commands.options import A_PATH


@click.command("verify")
@click.argument("paths", nargs=-1, required=True, type=A_PATH)
def verify(paths: tuple[Path, ...]) -> None:
    """Hash every file again that a checkpoint, a run folder or a set of frames speaks of in its manifest.

    PATHS may hold several of them, such as the folder of a whole experiment. The first bad file is named: exit code 5
    of a checkpoint, 3 of a frame, 6 where the disk fails.
    """
    from pipelines.printable import printable
    from pipelines.progress import Progress
    from pipelines.stages.inspection import verify as stage

    subjects = [subject for path in paths for subject in stage.find_verifiable(path)]
    found = []
    with Progress("verify", stage.count_files(subjects), "file") as progress:
        for subject in subjects:
            found.append(stage.verify(subject, lambda: progress.reach(progress.done + 1)))
            for line in (found[-1].line, *(f"  {problem}" for problem in found[-1].problems)):
                click.echo(printable(line))
    stage.refuse_damaged(found)
