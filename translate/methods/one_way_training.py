"""What methods with a single generator have in common: from source to target it goes, or its moving average does.

CUT needs no way back, and pix2pixHD has none; CycleGAN's two generators have averages of their own.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segment.averaging import MovingAverage
from translate.choices import Direction
from translate.methods.batches import UnpairedBatch
from translate.methods.translator_training import TranslatorTraining, TranslatorTrainingSettings
from translate.translator import evaluating
from translate.value_range import to_signed, to_unit


class OneWayTraining(TranslatorTraining):
    """A generator called `source_to_target`; a subclass makes `average` by `fresh_average` when that is drawn.

    The preview is that of unpaired frames; what learns from pairs has its own.
    """

    average: MovingAverage | None
    """The moving average of the generator; None where the settings ask for none."""

    @classmethod
    def kept(cls, settings: TranslatorTrainingSettings) -> dict[str, str]:
        return {"source_to_target": "source_to_target." if settings.ema_decay is None else "average.network."}

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        own = super().generator(direction)
        return own if self.average is None else self.average.network

    def start_from(self, state: Mapping[str, Tensor]) -> tuple[str, ...]:
        absent = super().start_from(state)
        self.average = self.fresh_average()
        return absent

    @torch.no_grad()
    def preview(self, batch: UnpairedBatch) -> dict[str, Tensor]:
        """What becomes of a source image and of a target image: (B, 3, H, W) in [0, 1] by name."""
        generator = self.generator()
        with evaluating(generator):
            fake_target, same_target = generator(to_signed(batch.source)), generator(to_signed(batch.target))
        return {
            "source": batch.source,
            "fake_target": to_unit(fake_target),
            "target": batch.target,
            "same_target": to_unit(same_target),
        }

    def fresh_average(self) -> MovingAverage | None:
        """One that begins with the generator's weights of now."""
        decay = self.settings.ema_decay
        return None if decay is None else MovingAverage(self.get_submodule("source_to_target"), decay)

    def follow_with_average(self) -> None:
        """Move the average, if there is one, towards the generator: the end of a step."""
        if self.average is not None:
            self.average.update(self.get_submodule("source_to_target"))
