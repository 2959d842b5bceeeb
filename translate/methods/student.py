"""A student of a finished translator: a light generator learns, pair by pair, what a heavy one made of the same frames.

Pairs by REGEN (Pasios and Nikolaidis, IEEE Trans. on Games 2026, arXiv:2508.17061), networks and losses by HyPER-GAN
(the same, arXiv:2603.10604, 2026): its patches are judged beside the teacher's and beside real ones of like content.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from segment.freezing import frozen
from segment.methods.method import Update
from segment.peers import ALONE
from segment.settings import Later, NonNegativeFloat, OneOf, PositiveFloat, PositiveInt
from translate.choices import check_divides, chosen
from translate.guidance import Guidance
from translate.losses import GAN_LOSSES, reconstruction
from translate.methods.batches import TranslatedBatch
from translate.methods.one_way_training import OneWayTraining
from translate.methods.translator_training import LearnsFrom, TranslatorTrainingSettings, adam
from translate.networks import GENERATORS
from translate.networks.discriminators.crop import CropDiscriminator
from translate.networks.features.feature_projection import FeatureProjection
from translate.networks.features.perceptual import PerceptualLoss
from translate.patch_matching import RealPatches, grid_patches
from translate.schedules import LearningRate
from translate.teacher_features import TeacherFeatures, feature_distance, imitated_layers
from translate.translator import ImageTranslator, evaluating
from translate.value_range import to_signed, to_unit

LEAST_PATCH = 16
"""Side of the smallest patch that the discriminator judges."""


@dataclass(frozen=True)
class StudentSettings(TranslatorTrainingSettings):
    """HyPER-GAN, arXiv:2603.10604: a light network in the place of a finished translator.

    The authors' code has decay_fraction = 0.
    """

    generator: Annotated[str, OneOf("translate.networks.GENERATORS")] = "unet_light"
    """unet_light and pyramid are made for live frames; any other learns as well."""
    generator_channels: PositiveInt = 32
    """Width of the generator. With 32 channels unet_light translates frames of 1024x512 on a CPU 34 times as fast as
    the published loop with a ResNet-9, with HyPER-GAN's 64 only 12 times: they need four times the products."""
    discriminator_channels: PositiveInt = 64
    initialisation: Annotated[str, OneOf("translate.networks.initialisation.INITIALISATIONS")] = "normal"
    gan_loss: Annotated[str, OneOf("translate.losses.GAN_LOSSES")] = "least_squares"
    reconstruction_weight: PositiveFloat = 10.0
    """Weight of the mean distance to the teacher's translation."""
    adversarial_weight: NonNegativeFloat = 1.0
    """Weight of what the discriminator recognises; 0 leaves it, its training and real patches out."""
    feature_weight: Annotated[NonNegativeFloat, Later()] = 0.0
    """Weight of the distance to the features of the teacher's generator, as GAN Compression has it (Li et al., CVPR
    2020; 1 there); needs a teacher that is a network at hand. 0 leaves it out."""
    perceptual_weight: Annotated[NonNegativeFloat, Later()] = 0.0
    """Weight of the distance between what a network that knows photographs sees in the student's image and in the
    teacher's (Johnson et al., ECCV 2016); the paper has none. 0 leaves it out."""
    patch: PositiveInt = 196
    """Side of the patches that are judged and matched, in pixels; at most that of the crops."""
    patches: PositiveInt = 64
    """Patches of the student that are judged in a step, at most; as many of the teacher's, and as many real ones."""
    real_patches: PositiveInt = 2048
    """Real patches to choose from, at most, spread evenly over the target frames."""

    def check_crop(self, width: int, height: int) -> None:
        check_divides(self.generator, width, height)
        if self.adversarial_weight == 0:
            return  # nobody judges patches
        for side in (width, height):
            if side < self.patch:
                raise ValueError(f"crop is {side} and patch {self.patch}; set patch to {side} or less, or enlarge crop")
        if self.patch < LEAST_PATCH:
            raise ValueError(f"patch is {self.patch}; the discriminator needs {LEAST_PATCH} or more")


class Student(OneWayTraining, ImageTranslator):
    """A generator and a discriminator of patches; optionally real patches to be matched, an expert that guides, the
    teacher's generator, whose features are imitated, and a network that knows photographs.

    Differs from the authors' code: frames are cropped, not squeezed into squares; both kinds of real examples are
    for the same patches of the student; weights start, and the discriminator's loss is halved (which Adam does not
    notice), as in all methods here.
    """

    learns_from: ClassVar[LearnsFrom] = "translated"
    directions = ("source_to_target",)
    Settings = StudentSettings

    def __init__(
        self,
        settings: StudentSettings,
        real: RealPatches | None = None,
        guidance: Guidance | None = None,
        teacher: TeacherFeatures | None = None,
        perceptual: PerceptualLoss | None = None,
    ) -> None:
        """Draw all weights.

        Args:
            settings: All that the paper leaves to choose.
            real: The second kind of real examples; None learns from the teacher's patches alone.
            guidance: Adds an expert's losses to the generator's objective.
            teacher: Its features are imitated, by `feature_weight`, which must be 0 without.
            perceptual: Compares images with the teacher's; None goes without, whatever its weight.

        Raises:
            ValueError: A network or loss has an unknown name, or the real patches have another size; or features are to
                be imitated without a teacher, or by a generator that has no encoder.
        """
        super().__init__({"source_to_target": _generator(settings)})
        if real is not None and real.side != settings.patch:
            raise ValueError(f"Real patches have {real.side} pixels a side; the setting patch is {settings.patch}.")
        if settings.feature_weight > 0 and teacher is None:
            raise ValueError(
                f"feature_weight is {settings.feature_weight:g}, and there is no teacher's generator to imitate; give "
                "one, or set it to 0"
            )
        self.settings, self.real, self.guidance = settings, real, guidance
        self.teacher = teacher if settings.feature_weight > 0 else None
        self.perceptual = perceptual if settings.perceptual_weight > 0 else None
        self.learning_rate = LearningRate(settings.steps, settings.decay_fraction)
        self.gan_loss = chosen(GAN_LOSSES, settings.gan_loss, "GAN loss")
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))
        self.discriminator = None
        if settings.adversarial_weight > 0:
            self.discriminator = CropDiscriminator(
                base_channels=settings.discriminator_channels, initialisation=settings.initialisation
            )
        self.projection, self.imitating = None, ()
        if self.teacher is not None:
            own = imitated_layers(self.source_to_target)
            self.imitating = tuple(own)
            self.projection = FeatureProjection(tuple(own.values()), self.teacher.channels, settings.initialisation)
        self.peers = ALONE
        self.average = self.fresh_average()

        generating = [*self.source_to_target.parameters()]
        if self.projection is not None:
            generating += self.projection.parameters()
        self._optimizers = {"generator": adam(generating, settings.learning_rate)}
        if self.discriminator is not None:
            self._optimizers["discriminator"] = adam(self.discriminator.parameters(), settings.learning_rate)

    @classmethod
    def translator(cls, settings: StudentSettings) -> ImageTranslator:
        return ImageTranslator({"source_to_target": _generator(settings)})

    def step(self, batch: TranslatedBatch, update: Update) -> dict[str, Tensor]:
        """Translate as the teacher did, let the discriminator tell patches apart, then the generator learn. Sec. 3."""
        source, translated = to_signed(batch.source), to_signed(batch.translated)
        fake, features = self._translate(source)
        learnt: dict[str, Tensor] = {}
        losses = {"reconstruction": self.settings.reconstruction_weight * reconstruction(fake, translated)}
        losses |= self.imitation_losses(features, source)
        if self.perceptual is not None:
            losses["perceptual"] = self.settings.perceptual_weight * self.perceptual(fake, translated)

        if self.discriminator is not None:
            judged, real, share = self.examples(fake, translated)
            learnt = update("discriminator", _times(share, self.discriminator_losses(judged.detach(), real)))
            losses |= _times(share, self.adversarial_losses(judged))

        learnt |= update("generator", self._guided(losses, batch, fake))

        self.follow_with_average()
        self.steps_taken += 1
        return learnt

    def _translate(self, source: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The translation, and the features that are to be like the teacher's, if any."""
        if self.teacher is None:
            return self.source_to_target(source), []
        return self.source_to_target.with_features(source, self.imitating)

    def imitation_losses(self, features: list[Tensor], source: Tensor) -> dict[str, Tensor]:
        """What the generator and the projection pay for features that are not the teacher's; nothing without one.

        Args:
            features: (B, C_i, h_i, w_i) of the layers that imitate; gradients flow.
            source: (B, 3, H, W) in [-1, 1], which they are of.
        """
        if self.teacher is None:
            return {}
        distance = feature_distance(self.projection(features), self.teacher(source))
        return {"features": self.settings.feature_weight * distance}

    def examples(self, fake: Tensor, translated: Tensor) -> tuple[Tensor, Tensor, float]:
        """Patches to be judged, and the real ones beside them: the teacher's at the same places, then the nearest real.

        Several processes draw among the patches of all, as one process would that had all of their images.

        Args:
            fake: (B, 3, H, W) in [-1, 1]; gradients flow.
            translated: The teacher's, of the same shape.

        Returns:
            (P, 3, S, S) and (P, 3, S, S) or (2 P, 3, S, S), all in [-1, 1]; and what a mean over these patches counts
            for in the mean over processes: 1 where each has as many, 0 where none was drawn here, and one stands in.
        """
        patches, real = (grid_patches(image, self.settings.patch) for image in (fake, translated))
        own, world, share = len(patches), self.peers.world_size, 1.0
        if own * world > self.settings.patches:
            drawn = torch.randperm(own * world)[: self.settings.patches] - self.peers.rank * own
            drawn = drawn[(drawn >= 0) & (drawn < own)]
            share = len(drawn) * world / self.settings.patches
            drawn = (drawn if len(drawn) else torch.zeros(1, dtype=torch.int64)).to(fake.device)
            patches, real = patches[drawn], real[drawn]
        if self.real is not None:
            real = torch.cat([real, to_signed(self.real.nearest(to_unit(patches)))])
        return patches, real, share

    def discriminator_losses(self, judged: Tensor, real: Tensor) -> dict[str, Tensor]:
        """What the discriminator pays for mistaking the student's patches and real ones for each other."""
        return {"discriminator": self.gan_loss.discriminator(self.discriminator(real), self.discriminator(judged))}

    def adversarial_losses(self, judged: Tensor) -> dict[str, Tensor]:
        """What the generator pays for every patch that is recognised."""
        with frozen(self.discriminator):
            loss = self.gan_loss.generator(self.discriminator(judged))
        return {"adversarial": self.settings.adversarial_weight * loss}

    def _guided(self, losses: dict[str, Tensor], batch: TranslatedBatch, fake: Tensor) -> dict[str, Tensor]:
        """The generator's objective with what the expert says, once the guidance has begun."""
        guidance = self.guidance
        if guidance is None or int(self.steps_taken) < guidance.settings.start_step:
            return losses
        return guidance.mixed_with(losses, guidance.losses(batch, "source", fake, None))

    @torch.no_grad()
    def preview(self, batch: TranslatedBatch) -> dict[str, Tensor]:
        """A source image, what the student makes of it, and what the teacher did: (B, 3, H, W) in [0, 1] by name."""
        generator = self.generator()
        with evaluating(generator):
            fake = generator(to_signed(batch.source))
        return {"source": batch.source, "fake_target": to_unit(fake), "teacher": batch.translated}


def _times(share: float, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses, each times the same number."""
    return {name: share * loss for name, loss in losses.items()}


def _generator(settings: StudentSettings) -> nn.Module:
    return chosen(GENERATORS, settings.generator)(
        base_channels=settings.generator_channels, initialisation=settings.initialisation
    )
