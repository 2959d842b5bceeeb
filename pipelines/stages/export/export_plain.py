"""A trained generator as its authors publish theirs: a plain state dict in a .pth file, by their names.

So what was trained here runs in HyPER-GAN's, CycleGAN's, CUT's and pix2pixHD's own scripts, and comes back by
`sim2real checkpoint import`.
"""

import io
from pathlib import Path

import torch

from pipelines.data.disk.files import write_atomically
from pipelines.engine.launch import choose_machine
from pipelines.errors import UserError
from pipelines.experiment.trained import load_translator


def export_plain(checkpoint: Path, output: Path, direction: str = "source_to_target") -> int:
    """Write the state dict of one direction's generator.

    Args:
        checkpoint: Of a translator; a run folder or one of its checkpoints.
        output: NAME.pth.
        direction: "source_to_target" or "target_to_source".

    Returns:
        How many tensors it holds.

    Raises:
        UserError: The direction is not learnt.
        CheckpointError: The checkpoint is damaged or of something else.
    """
    method, _ = load_translator(checkpoint, choose_machine("cpu"))
    try:
        generator = method.generator(direction)
    except ValueError as error:
        raise UserError(f"--direction {direction}: {error}") from error
    state = {name: value.detach().contiguous() for name, value in generator.state_dict().items()}
    stream = io.BytesIO()
    torch.save(state, stream)
    write_atomically(output, stream.getvalue())
    return len(state)
