"""Translate a video into a video: same size, frame rate and times, sound carried along; safe to kill."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from pipelines.batch_inference.network import Network
from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.video import VideoSummary, VideoWork, make_video
from pipelines.data.images import to_image
from pipelines.data.video import VideoFacts, encoder_of, read_facts

if TYPE_CHECKING:
    from torch import Tensor


def translate_video(
    source: Path,
    output: Path,
    translate: "Callable[[Tensor], Tensor]",
    identity: Mapping[str, JsonValue],
    *,
    batch_size: int = 1,
    height: int | None = None,
    size: tuple[int, int] | None = None,
    device: str = "cpu",
    restart: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> VideoSummary:
    """Translate a video; arguments as of `translate_frames`.

    Beside `output` a file NAME.json says of what it was made and how, with hashes of both.

    Raises:
        UserError, ImageError, StorageError, Interrupted: As of `make_video`.
    """
    network = Network(translate, batch_size, height, size, device, NetworkClock(device))
    work = VideoWork(
        source=source,
        output=output,
        identity={**identity, "height": height, "size": size, "batch": batch_size},
        network=network,
        draw=lambda number, frame, result: to_image(result),
    )
    return make_video(work, lambda: network.clock.share, restart, progress, stop_requested)


def describe_video(source: Path, output: Path) -> Sequence[str]:
    """What a dry run says of a video."""
    facts: VideoFacts = read_facts(source)
    encoder, options = encoder_of(output)
    return (
        f"{len(facts)} frames of {facts.width}x{facts.height} at {float(facts.rate):.3f} per second",
        f"written with {encoder} ({', '.join(f'{key} {value}' for key, value in options.items())})",
        "dry run: nothing was written",
    )
