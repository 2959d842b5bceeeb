"""AdaIN: frames with the target's style, by a decoder that learns to undo a fixed encoder.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017
(arXiv:1703.06868). There is no discriminator. Images are in [0, 1] outside this file and in [-1, 1] within it.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from segment.methods.method import Update
from segment.peers import ALONE
from segment.settings import Fraction, NonNegativeFloat, OneOf, PositiveFloat, PositiveInt
from translate.channel_statistics import channel_statistics, content_loss, style_loss
from translate.choices import chosen
from translate.methods.batches import UnpairedBatch
from translate.methods.one_way_training import OneWayTraining
from translate.methods.translator_training import LearnsFrom, TranslatorTrainingSettings, adam
from translate.networks.features.style_encoders import ENCODERS, StyleEncoder
from translate.networks.generators.adain import AdaINGenerator
from translate.schedules import LearningRate
from translate.translator import ImageTranslator
from translate.value_range import to_signed


@dataclass(frozen=True)
class AdaINSettings(TranslatorTrainingSettings):
    """Huang and Belongie, ICCV 2017: the target's channel statistics for the source's, nothing adversarial.

    Steps and rate are those of the authors' code. They lower the rate slowly from the first step on, here it falls in
    the last part, as in all of stage one.
    """

    steps: PositiveInt = 160_000
    learning_rate: PositiveFloat = 1e-4
    encoder: Annotated[str, OneOf("translate.networks.features.style_encoders.ENCODERS")] = "vgg19"
    """What sees content and style; fixed, with weights that others have trained."""
    generator_channels: PositiveInt = 64
    """Width of the decoder at full resolution; 64 in the paper, 16 trains on a CPU in minutes."""
    skip_connections: bool = False
    """Give the decoder the encoder's finer features, too, adapted like the coarsest, so that edges stay where the label
    map has them. Not in the paper, whose decoder redraws all from features at an eighth of the resolution."""
    content_weight: PositiveFloat = 1.0
    style_weight: NonNegativeFloat = 10.0
    """Weight of the style loss beside the content loss; lambda in eq. 11, which the paper leaves open."""
    strength: Fraction = 1.0
    """How far frames are brought to the style when translating: 0 leaves the decoder the features as they are. alpha in
    eq. 14."""

    def check_crop(self, width: int, height: int) -> None:
        if width % 8 or height % 8:
            raise ValueError(f"crop is {width}x{height}; AdaIN's encoders take multiples of 8")


class AdaIN(OneWayTraining, ImageTranslator):
    """A fixed encoder and a decoder, in one generator that remembers the target's mean style.

    Trained as published: every source image is given the statistics of one target image, drawn at random. Translated by
    one style for all frames, the mean over target images of their channels' means and deviations, which the generator
    keeps with its weights: the paper has a user choose a style image, and frames of one drive should not flicker.
    """

    learns_from: ClassVar[LearnsFrom] = "unpaired"
    directions = ("source_to_target",)
    Settings = AdaINSettings

    def __init__(self, settings: AdaINSettings, encoder: StyleEncoder | None = None) -> None:
        """Draw the decoder's weights.

        Args:
            settings: All that the paper leaves to choose.
            encoder: The trained encoder that the settings name; None draws its weights, too, for whoever fills them
                from a checkpoint.

        Raises:
            ValueError: The encoder has an unknown name.
        """
        super().__init__({"source_to_target": make_generator(settings, encoder)})
        self.settings = settings
        self.learning_rate = LearningRate(settings.steps, settings.decay_fraction)
        self.peers = ALONE
        self.average = self.fresh_average()
        decoder = self.source_to_target.decoder
        self._optimizers = {"generator": adam(decoder.parameters(), settings.learning_rate)}

    @classmethod
    def translator(cls, settings: AdaINSettings) -> ImageTranslator:
        return ImageTranslator({"source_to_target": make_generator(settings)})

    def taken_over(self) -> dict[str, nn.Module]:
        """The decoder alone: the encoder is the one that was given, and the style is to be that of these targets."""
        return {"source_to_target.decoder": self.source_to_target.decoder}

    def step(self, batch: UnpairedBatch, update: Update) -> dict[str, Tensor]:
        """Encode, exchange the statistics, decode, encode what came of it, let the decoder learn. Sec. 6.2."""
        source, target = to_signed(batch.source), to_signed(batch.target)
        generator = self.source_to_target
        with torch.no_grad():
            encoded = [one.split([len(source), len(target)]) for one in generator.encoder(torch.cat([source, target]))]
            styles = [channel_statistics(of_target) for _, of_target in encoded]
            style = generator.style_of(styles)
            wanted = generator.adapted([of_source for of_source, _ in encoded], style)

        seen = generator.encoder(generator.decoder(wanted))
        learnt = update(
            "generator",
            {
                "content": self.settings.content_weight * content_loss(seen[-1], wanted[-1]),
                "style": self.settings.style_weight * style_loss(seen, styles),
            },
        )

        generator.remember(self.peers.gathered(style))
        self.follow_with_average()
        return learnt


def make_generator(settings: AdaINSettings, encoder: StyleEncoder | None = None) -> AdaINGenerator:
    """The generator, its decoder's weights freshly drawn; its encoder's, too, where none is given."""
    return AdaINGenerator(
        chosen(ENCODERS, settings.encoder, "encoder")(None) if encoder is None else encoder,
        settings.generator_channels,
        settings.skip_connections,
        settings.strength,
    )
