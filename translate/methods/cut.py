"""CUT and FastCUT: translation one way, with one generator, by contrasting patches before and after.

Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020 (arXiv:2007.15651).
No way back is learnt, so there is half as much to train. Images are in [0, 1] outside this file, in [-1, 1] within it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from segment.freezing import frozen
from segment.methods.method import Update
from segment.settings import Later, OneOf, PositiveFloat, PositiveInt
from translate.choices import chosen
from translate.contrast import draw_locations, patch_contrast
from translate.losses import GAN_LOSSES
from translate.methods.batches import UnpairedBatch
from translate.methods.one_way_training import OneWayTraining
from translate.methods.translator_training import LearnsFrom, adam
from translate.methods.unpaired_training import UnpairedTrainingSettings, make_discriminator, make_generator
from translate.networks import ENCODING_GENERATORS
from translate.networks.features.patch_projection import PatchProjection
from translate.schedules import LearningRate
from translate.translator import ImageTranslator
from translate.value_range import to_signed


@dataclass(frozen=True)
class CUTSettings(UnpairedTrainingSettings):
    """Park et al., ECCV 2020: one direction, no second generator.

    FastCUT: contrast_weight = 10, contrast_identity = false, flip_equivariance = true.
    """

    generator: Annotated[str, OneOf("translate.networks.ENCODING_GENERATORS")] = "resnet9"
    """Name of the generator's network; its encoder is also what patches are compared by."""
    initialisation: Annotated[str, OneOf("translate.networks.initialisation.INITIALISATIONS")] = "xavier"
    antialias: bool = True
    """Blur before halving and after doubling, as the published generators do; off, a step takes less time."""
    antialias_discriminator: Annotated[bool, Later()] = False
    """Blur before halving in the patch discriminator, too, as the published code does unless told otherwise. Differs:
    off by default, which is CycleGAN's discriminator, as all runs until December 2026 had it; on, a step takes longer.
    """
    contrast_weight: PositiveFloat = 1.0
    """Weight of the patch-contrastive term; lambda_X in eq. 5."""
    contrast_identity: bool = True
    """Whether the patch-contrastive term is also taken on target images, which ought to stay; lambda_Y in eq. 5. Off in
    FastCUT."""
    flip_equivariance: bool = False
    """Translate mirrored images in half of the steps and contrast with the unmirrored ones; FastCUT's augmentation."""
    temperature: PositiveFloat = 0.07
    patches: Annotated[int, Ge(2)] = 256
    """Places drawn in each layer; each is contrasted with the others of its image."""
    projection_features: PositiveInt = 256
    """Length of the vectors that are compared."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.antialias_discriminator and self.discriminator != "patch":
            raise ValueError(
                f"antialias_discriminator is for the discriminator patch; it is {self.discriminator}. Set "
                "antialias_discriminator to false"
            )


class CUT(OneWayTraining, ImageTranslator):
    """A generator, a discriminator, and a projection of the generator's own features in which patches are compared.

    The published networks are those with antialias and antialias_discriminator; the latter is off by default.
    """

    learns_from: ClassVar[LearnsFrom] = "unpaired"
    directions = ("source_to_target",)
    Settings = CUTSettings

    def __init__(self, settings: CUTSettings) -> None:
        """Draw all weights.

        Raises:
            ValueError: A network, loss or schedule has an unknown name, or the generator has no encoder to compare by.
        """
        chosen(ENCODING_GENERATORS, settings.generator)
        super().__init__({"source_to_target": make_generator(settings)})
        self.settings = settings
        self.learning_rate = LearningRate(settings.steps, settings.decay_fraction, settings.schedule)
        self.gan_loss = chosen(GAN_LOSSES, settings.gan_loss, "GAN loss")
        self.target_discriminator = make_discriminator(settings, antialias=settings.antialias_discriminator)
        compared = self.source_to_target.compared_layers()
        self.layers = tuple(compared)
        self.projection = PatchProjection(tuple(compared.values()), settings.projection_features)
        self.average = self.fresh_average()

        generating = [*self.source_to_target.parameters(), *self.projection.parameters()]
        self._optimizers = {
            "generator": adam(generating, settings.learning_rate),
            "discriminator": adam(self.target_discriminator.parameters(), settings.learning_rate),
        }

    @classmethod
    def translator(cls, settings: CUTSettings) -> ImageTranslator:
        return ImageTranslator({"source_to_target": make_generator(settings)})

    def step(self, batch: UnpairedBatch, update: Update) -> dict[str, Tensor]:
        """Translate, let the discriminator learn, then the generator and the projection. Park et al., sec. 3."""
        source, target = to_signed(batch.source), to_signed(batch.target)
        # One pass over both domains: instance normalisation keeps images apart.
        originals = torch.cat([source, target]) if self.settings.contrast_identity else source
        mirrored = self.settings.flip_equivariance and bool(torch.rand(()) < 0.5)
        translated, keys = self._translate(originals, mirrored)
        fake_target = translated[: len(source)]

        learnt = update("discriminator", self.discriminator_losses(target, fake_target.detach()))

        generator_losses = self.adversarial_losses(fake_target)
        generator_losses |= self.contrast_losses(translated, keys, len(source), mirrored)
        learnt = update("generator", generator_losses) | learnt

        self.follow_with_average()
        return learnt

    def _translate(self, originals: Tensor, mirrored: bool) -> tuple[Tensor, list[Tensor]]:
        """What becomes of the images, or of their mirror images; and the features of the images as they are.

        Unmirrored, features come from the pass that translates, which saves an encoding.
        """
        if mirrored:
            with torch.no_grad():
                keys = self.source_to_target.features(originals, self.layers)
            return self.source_to_target(originals.flip(3)), keys
        translated, features = self.source_to_target.with_features(originals, self.layers)
        return translated, [one.detach() for one in features]

    def discriminator_losses(self, target: Tensor, fake_target: Tensor) -> dict[str, Tensor]:
        """What the discriminator pays for real patches taken for fake, and for fake ones taken for real."""
        judge = self.target_discriminator
        return {"discriminator": self.gan_loss.discriminator(judge(target), judge(fake_target))}

    def adversarial_losses(self, fake_target: Tensor) -> dict[str, Tensor]:
        """What the generator pays for every fake patch that is recognised. Eq. 1, by default in least-squares form."""
        with frozen(self.target_discriminator):
            return {"adversarial": self.gan_loss.generator(self.target_discriminator(fake_target))}

    def contrast_losses(
        self, translated: Tensor, keys: Sequence[Tensor], sources: int, mirrored: bool = False
    ) -> dict[str, Tensor]:
        """What the generator pays for patches that do not tell where they come from; a mean over layers.

        Args:
            translated: (B, 3, H, W) in [-1, 1], made of source images and then, with identity, of target images.
            keys: Features of what it was made of, (B, C_i, H_i, W_i) at each of `layers`; constants.
            sources: How many of the images were source images.
            mirrored: Whether the translated images are mirrored and the keys are not.

        Source: Park et al., ECCV 2020, eq. 5. As in the authors' code, with identity both terms have half the weight.
        """
        queries = self.source_to_target.features(translated, self.layers)
        if mirrored:
            queries = [query.flip(3) for query in queries]
        locations = draw_locations(keys, self.settings.patches)
        with torch.no_grad():
            projected_keys = self.projection(keys, locations)
        pairs = list(zip(self.projection(queries, locations), projected_keys, strict=True))

        def mean_over_layers(images: slice) -> Tensor:
            terms = [patch_contrast(query[images], key[images], self.settings.temperature) for query, key in pairs]
            return torch.stack(terms).mean()

        if not self.settings.contrast_identity:
            return {"contrast": self.settings.contrast_weight * mean_over_layers(slice(sources))}
        return {
            "contrast": 0.5 * self.settings.contrast_weight * mean_over_layers(slice(sources)),
            "contrast_identity": 0.5 * self.settings.contrast_weight * mean_over_layers(slice(sources, None)),
        }
