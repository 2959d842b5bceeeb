"""CUT and FastCUT: translation one way, with one generator, by contrasting patches before and after.

Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020 (arXiv:2007.15651).
No way back is learnt, so there is half as much to train. Images are in [0, 1] outside this file, in [-1, 1] within it.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from segment.averaging import MovingAverage
from segment.methods.method import Update
from segment.networks.freezing import frozen
from translate.choices import chosen
from translate.contrast import draw_places, patch_contrast
from translate.losses import GAN_LOSSES
from translate.methods.batches import UnpairedBatch
from translate.methods.translator import Direction, Translator, evaluating
from translate.networks import DISCRIMINATORS, GENERATORS
from translate.networks.patch_projection import PatchProjection
from translate.networks.residual_block import ResidualBlock
from translate.schedules import LearningRate
from translate.value_range import to_signed, to_unit


class CUT(Translator):
    """A generator, a discriminator, and a projection of the generator's own features in which patches are compared.

    FastCUT is contrast_weight 10, contrast_identity off, flip_equivariance on: half the images through the generator.

    Args:
        steps: Steps of the whole training; the learning rate's schedule follows from it.
        decay_fraction: Last part of the training, in which the learning rate falls; 0 keeps it constant.
        schedule: Key of SCHEDULES.
        generator: Key of GENERATORS; one of the ResNets, whose encoder is also what patches are compared by.
        discriminator: Key of DISCRIMINATORS.
        generator_channels: Channels of the generator at full resolution.
        discriminator_channels: Channels of the discriminator's first layer.
        discriminator_layers: Halvings of the discriminator "patch".
        initialisation: Of the generator's and the discriminator's weights.
        gan_loss: Key of GAN_LOSSES.
        antialias: Blur before halving and after doubling, as the authors' published generators do.
        learning_rate: Initial rate of both Adam optimizers.
        betas: Decay rates of Adam's two moments.
        contrast_weight: Weight of the contrast; lambda_X in eq. 5, and lambda_Y with `contrast_identity`.
        contrast_identity: Also contrast target images with what the generator makes of them, so that it leaves alone
            what is in the target domain already.
        flip_equivariance: Translate mirrored images, in half of the steps, and contrast with the unmirrored ones.
        temperature: Of the contrast.
        patches: Places drawn in each layer; each is contrasted with the others.
        projection_features: Length of the vectors that are compared.
        ema_decay: Of a moving average of the generator, which then translates; None for no average.

    Raises:
        ValueError: A network's name is unknown or of another kind, or a number is out of range.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("source_to_target",)

    def __init__(
        self,
        *,
        steps: int,
        decay_fraction: float = 0.5,
        schedule: str = "linear",
        generator: str = "resnet9",
        discriminator: str = "patch",
        generator_channels: int = 64,
        discriminator_channels: int = 64,
        discriminator_layers: int = 3,
        initialisation: str = "xavier",
        gan_loss: str = "least_squares",
        antialias: bool = True,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        contrast_weight: float = 1.0,
        contrast_identity: bool = True,
        flip_equivariance: bool = False,
        temperature: float = 0.07,
        patches: int = 256,
        projection_features: int = 256,
        ema_decay: float | None = None,
    ) -> None:
        super().__init__()
        if contrast_weight < 0 or temperature <= 0:
            raise ValueError(f"contrast_weight is {contrast_weight} (at least 0), temperature {temperature} (above 0).")
        if patches < 2:
            raise ValueError(f"patches is {patches}; a patch is contrasted with others, so there are at least 2.")
        self.learning_rate = LearningRate(steps, decay_fraction, schedule)
        self.contrast_weight, self.contrast_identity = contrast_weight, contrast_identity
        self.flip_equivariance = flip_equivariance
        self.temperature, self.patches = temperature, patches

        self.gan_loss = chosen(GAN_LOSSES, gan_loss, "GAN loss")

        make_generator, make_discriminator = chosen(GENERATORS, generator), chosen(DISCRIMINATORS, discriminator)
        if not generator.startswith("resnet"):
            raise ValueError(f"generator is {generator!r}; CUT compares features of a ResNet: resnet6 or resnet9.")
        self.source_to_target = make_generator(
            base_channels=generator_channels, initialisation=initialisation, antialias=antialias
        )
        depth = {"layers": discriminator_layers} if discriminator == "patch" else {}
        self.target_discriminator = make_discriminator(
            base_channels=discriminator_channels, initialisation=initialisation, **depth
        )
        compared = compared_layers(self.source_to_target)
        self.layers = tuple(compared)
        self.projection = PatchProjection(tuple(compared.values()), projection_features)
        self.ema_decay = ema_decay
        self.average = self._fresh_average()

        generating = [*self.source_to_target.parameters(), *self.projection.parameters()]
        judging = list(self.target_discriminator.parameters())
        self._optimizers: dict[str, Optimizer] = {
            "generator": Adam(generating, lr=learning_rate, betas=betas, fused=True),
            "discriminator": Adam(judging, lr=learning_rate, betas=betas, fused=True),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def learning_rate_scale(self, step: int) -> float:
        return self.learning_rate.scale(step)

    def step(self, batch: UnpairedBatch, update: Update) -> dict[str, Tensor]:
        """Translate, let the discriminator learn, then the generator and the projection. Park et al., sec. 3."""
        source, target = to_signed(batch.source), to_signed(batch.target)
        # One pass over both domains: instance normalisation keeps images apart.
        originals = torch.cat([source, target]) if self.contrast_identity else source
        mirrored = self.flip_equivariance and bool(torch.rand(()) < 0.5)
        translated, keys = self._translate(originals, mirrored)
        fake_target = translated[: len(source)]

        learnt = update("discriminator", self.discriminator_losses(target, fake_target.detach()))

        generator_losses = self.adversarial_losses(fake_target)
        generator_losses |= self.contrast_losses(translated, keys, len(source), mirrored)
        learnt = update("generator", generator_losses) | learnt

        if self.average is not None:
            self.average.update(self.source_to_target)
        return learnt

    def _translate(self, originals: Tensor, mirrored: bool) -> tuple[Tensor, list[Tensor]]:
        """What becomes of the images, or of their mirror images; and the features of the images as they are.

        Unmirrored, features come from the pass that translates, which saves an encoding.
        """
        if mirrored:
            with torch.no_grad():
                keys = self.source_to_target.features(originals, self.layers)
            return self.source_to_target(originals.flip(3)), keys
        features: list[Tensor] = []
        translated = _walk(self.source_to_target.model, originals, self.layers, features)
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
        places = draw_places(keys, self.patches)
        with torch.no_grad():
            projected_keys = self.projection(keys, places)
        pairs = list(zip(self.projection(queries, places), projected_keys, strict=True))

        def mean_over_layers(images: slice) -> Tensor:
            terms = [patch_contrast(query[images], key[images], self.temperature) for query, key in pairs]
            return torch.stack(terms).mean()

        if not self.contrast_identity:
            return {"contrast": self.contrast_weight * mean_over_layers(slice(sources))}
        return {
            "contrast": 0.5 * self.contrast_weight * mean_over_layers(slice(sources)),
            "contrast_identity": 0.5 * self.contrast_weight * mean_over_layers(slice(sources, None)),
        }

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

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        self.check_direction(direction)
        return self.source_to_target if self.average is None else self.average.network

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        super().start_from(state)
        self.average = self._fresh_average()

    def _fresh_average(self) -> MovingAverage | None:
        return None if self.ema_decay is None else MovingAverage(self.source_to_target, self.ema_decay)


def compared_layers(generator: nn.Module) -> dict[int, int]:
    """The layers of a ResNet generator whose features are compared: position in `generator.model`, and channels.

    Pixels, both halving convolutions, the first and the fifth residual block (Park et al., app. C.1): 0, 4, 8, 12, 16
    with antialiasing, 0, 4, 7, 10, 14 without.
    """
    layers = list(enumerate(generator.model))
    convolutions = [(place, layer) for place, layer in layers if isinstance(layer, nn.Conv2d)]
    blocks = [place for place, layer in layers if isinstance(layer, ResidualBlock)]
    opening, first, second = (layer for _, layer in convolutions[:3])
    widest = second.out_channels
    return {
        0: opening.in_channels,
        convolutions[1][0]: first.out_channels,
        convolutions[2][0]: widest,
        blocks[0]: widest,
        blocks[4]: widest,
    }


def _walk(model: nn.Sequential, image: Tensor, wanted: Sequence[int], features: list[Tensor]) -> Tensor:
    """Through the whole model; what the `wanted` layers put out is appended to `features`."""
    for place, layer in enumerate(model):
        image = layer(image)
        if place in wanted:
            features.append(image)
    return image
