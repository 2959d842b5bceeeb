"""What blending each translated frame with the one before, brought onto it, takes from flicker, and what it costs.

    python benchmarks/flicker.py --translator RUN --frames FOLDER [--direction target_to_source] [--first 29]

The frames are a sequence in name order. The figures are in docs/live.md.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import click
import cv2
import numpy as np
import torch
from torch import Tensor

from pipelines.data.images import IMAGE_SUFFIXES, read_image, to_batch
from pipelines.data.sampling.augment import fit_height
from pipelines.runtimes import open_translator
from pipelines.stages.quality.measurements import optical_flow
from translate.quality.motion import flow_warped_difference, visible_before, warp
from translate.quality.structure import structure_score

WAYS = (("as translated", 0.0, 1.0), ("blended, 0.3, 4 levels", 0.3, 4.0), ("blended, 0.5, 12 levels", 0.5, 12.0))
"""Name, share of the frame before, and the difference of the source at which that share falls to 37 %."""


@click.command(help=__doc__)
@click.option("--translator", type=click.Path(path_type=Path), required=True)
@click.option("--frames", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--direction", type=click.Choice(("source_to_target", "target_to_source")), default="source_to_target")
@click.option("--height", default=128, show_default=True)
@click.option("--first", default=0, show_default=True, help="Leave out so many frames at the beginning.")
def main(translator: Path, frames: Path, direction: str, height: int, first: int) -> None:
    """Print the table; one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    paths = sorted(path for path in frames.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)[first:]
    if len(paths) < 2:
        raise click.BadParameter(f"{frames} has {len(paths)} images from number {first} on; flicker needs 2 or more")
    pictures = [fit_height(read_image(path), height) for path in paths]
    source = [to_batch([picture]) for picture in pictures]
    begin = time.process_time()
    pairs = list(itertools.pairwise(pictures))
    flows, returns = zip(*[(optical_flow(new, old), optical_flow(old, new)) for old, new in pairs], strict=True)
    flow_ms = (time.process_time() - begin) / len(pairs) * 1000
    visible = [visible_before(*both) for both in zip(flows, returns, strict=True)]
    with open_translator(translator, device="cpu", direction=direction) as translate:
        translate(pictures[0])  # the first one pays for what is prepared once
        begin = time.process_time()
        translated = [to_batch([translate(picture)]) for picture in pictures]
        network_ms = (time.process_time() - begin) / len(pictures) * 1000
    print(f"{len(pictures)} frames, CPU time a frame: optical flow {flow_ms:.1f} ms, network {network_ms:.1f} ms")
    rows = [("source", source)]
    rows += [(name, steadied(translated, source, flows, visible, *how)) for name, *how in WAYS]
    for name, sequence in rows:
        flicker = [
            255 * float(flow_warped_difference(old, new, flow, seen))
            for old, new, flow, seen in zip(sequence, sequence[1:], flows, visible, strict=False)
            if seen.any()
        ]
        kept = [float(structure_score(*both)) for both in zip(source, sequence, strict=True)]
        sharp = float(np.mean([sharpness(one) for one in sequence]))
        print(f"{name:<26} flicker {np.mean(flicker):6.2f}  sharpness {sharp:6.2f}  edges kept {np.mean(kept):.3f}")


def steadied(
    translated: Sequence[Tensor],
    source: Sequence[Tensor],
    flows: Sequence[Tensor],
    visible: Sequence[Tensor],
    share: float,
    levels: float,
) -> list[Tensor]:
    """Each frame blended with the blended one before, where the source shows the same place unchanged.

    Args:
        translated: (1, 3, H, W) in [0, 1], in order.
        source: What they were translated from.
        flows: (1, 2, H, W), from each frame but the first to the one before.
        visible: bool (1, 1, H, W), which pixels were there before.
        share: Of the frame before, where the source is the same to the level.
        levels: Difference of the source, of 255, at which the share falls to 1/e.
    """
    steady = [translated[0]]
    for new, old_source, new_source, flow, seen in zip(
        translated[1:], source, source[1:], flows, visible, strict=False
    ):
        change = 255 * (new_source - warp(old_source, flow)).abs().mean(1, keepdim=True)
        weight = share * seen * torch.exp(-change / levels)
        steady.append((1 - weight) * new + weight * warp(steady[-1], flow))
    return steady


def sharpness(image: Tensor) -> float:
    """Mean absolute difference of neighbours in a row, in levels of 255, of an image (1, 3, H, W) in [0, 1]."""
    return 255 * float((image[..., 1:] - image[..., :-1]).abs().mean())


if __name__ == "__main__":
    main()
