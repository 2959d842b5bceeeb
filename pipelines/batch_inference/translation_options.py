"""How frames are translated, beyond the checkpoint and the machine: what `sim2real translate run` has options for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import JsonValue

from pipelines.batch_inference.folder import Intent
from pipelines.batch_inference.shards import Part
from pipelines.data.images import QUALITY
from pipelines.errors import UserError

if TYPE_CHECKING:  # an option is refused before torch is loaded
    from pipelines.runtimes.acceleration import Runtime
    from translate.choices import Direction

WHAT, ACTION = "translation", "translated"
COMPUTATION = 2
"""Raised when the same checkpoint and frames give other bytes than before, so that no folder holds some of each."""


@dataclass(frozen=True)
class TranslationOptions:
    """Settings of a translation; see `translate_frames` for those that are not explained here.

    Attributes:
        direction: Which way.
        height: Translate at this height and come back.
        size: Translate at this width and height and come back.
        batch_size: Frames that go through the network together.
        quality: Of JPEG.
        part: Do only this part of the frames.
        tile: Side of the tiles in pixels; None: a frame goes through the network whole.
        fast: In bf16 but for the first layers, where that pays on this machine (`resolved_options`); see
            `accelerated`.
        runtime: What computes: torch, compile or openvino.
        style_seed: Draws the looks of things, for a translator of label maps that has learnt several.

    Raises:
        UserError: Two of them contradict each other.
    """

    direction: "Direction" = "source_to_target"
    height: int | None = None
    size: tuple[int, int] | None = None
    batch_size: int = 1
    quality: int = QUALITY
    part: Part | None = None
    tile: int | None = None
    fast: bool = False
    runtime: "Runtime" = "torch"
    style_seed: int = 0

    def __post_init__(self) -> None:
        if self.height is not None and self.size is not None:
            raise UserError("--height and --size: give one of them")
        if self.tile is not None and self.runtime == "openvino":
            raise UserError("--tile: OpenVINO takes frames whole; use --runtime torch")

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What of it decides the result and is not known to `translate_frames`."""
        tiles: dict[str, JsonValue] = {} if self.tile is None else {"tile": self.tile}
        fast: dict[str, JsonValue] = {"fast": True} if self.fast else {}
        runtime: dict[str, JsonValue] = {} if self.runtime == "torch" else {"runtime": self.runtime}
        style: dict[str, JsonValue] = {} if self.style_seed == 0 else {"style_seed": self.style_seed}
        return {"computation": COMPUTATION, "direction": self.direction, **tiles, **fast, **runtime, **style}

    def intent(self, checkpoint_sha256: str, restart: bool) -> Intent:
        """What a run of a checkpoint would make. The machine has the last word on `fast`."""
        plan = translation_plan(
            {"checkpoint_sha256": checkpoint_sha256, **self.identity},
            self.height,
            self.size,
            self.batch_size,
            self.quality,
        )
        return Intent(WHAT, plan, ("precision", "layout", *["fast"] * self.fast), restart)


def translation_plan(
    identity: Mapping[str, JsonValue], height: int | None, size: tuple[int, int] | None, batch_size: int, quality: int
) -> dict[str, JsonValue]:
    """What decides a translation, as its folder says: the identity, and of the other options those that are unusual."""
    unusual = {"size": (size, None), "batch": (batch_size, 1), "quality": (quality, QUALITY)}
    more = {name: value for name, (value, usual) in unusual.items() if value != usual}
    return {"format": 1, **identity, "height": height, **more}
