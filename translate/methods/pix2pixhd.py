"""pix2pixHD: photos from layouts, learnt from frames whose layout is known.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018
(arXiv:1711.11585). Trained on labelled target frames it turns a simulator's layouts into photos whose label is known.
Images are in [0, 1] outside this file and in [-1, 1] within it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from segment.appearance.colours import paint_classes
from segment.freezing import frozen
from segment.methods.method import Update
from segment.settings import NonNegativeFloat, NonNegativeInt, PositiveInt
from translate.image_pool import ImagePool
from translate.layout_translator import LayoutTranslator
from translate.layouts import class_indices, painted, regions
from translate.methods.batches import PairedBatch
from translate.methods.one_way_training import OneWayTraining
from translate.methods.translator_training import LearnsFrom, TranslatorTrainingSettings, adam
from translate.multiscale_losses import adversarial_loss, discriminator_loss, feature_matching
from translate.networks.discriminators.multiscale import MultiscaleDiscriminator
from translate.networks.features.feature_encoder import FeatureEncoder
from translate.networks.features.perceptual import PerceptualLoss
from translate.networks.generators.pix2pixhd import GlobalGenerator, LocalEnhancer, coarse_closing
from translate.schedules import LearningRate
from translate.styles import StyleMemory
from translate.value_range import to_signed

Phase = Literal["global", "enhancer", "joint"]
CLUSTER_EVERY = 100
"""Steps between two clusterings of the styles; the last step of the training clusters too."""
TRAIN_IDS = 19
"""Labels of the one label space with ignored pixels, which then have a channel of their own."""


@dataclass(frozen=True)
class Pix2pixHDSettings(TranslatorTrainingSettings):
    """Wang et al., CVPR 2018: photos from label maps, trained on labelled target frames.

    The paper's 2048x1024: generator "local", crop [2048, 1024], height 1024, scales 3, global_steps and enhancer_steps.
    """

    generator: Literal["global", "local"] = "global"
    """The global generator alone, or within enhancers, each of which doubles its resolution."""
    enhancers: PositiveInt = 1
    """Enhancers of the generator "local"."""
    global_steps: NonNegativeInt = 0
    """First steps of the generator "local", in which its global part learns alone, at its own resolution."""
    enhancer_steps: NonNegativeInt = 0
    """Steps after that, in which the enhancers learn and the global part is fixed; then all learn jointly."""
    generator_channels: PositiveInt = 64
    """Width of the global generator's first layer; an enhancer's is half. 8 or 16 trains on a CPU in minutes."""
    halvings: PositiveInt = 4
    """Halvings in the global generator."""
    blocks: PositiveInt = 9
    """Residual blocks of the global generator."""
    enhancer_blocks: PositiveInt = 3
    """Residual blocks of each enhancer."""
    discriminator_channels: PositiveInt = 64
    discriminator_layers: PositiveInt = 3
    scales: PositiveInt = 2
    """Discriminators, each at half the resolution of the one before."""
    feature_weight: NonNegativeFloat = 10.0
    """Weight of feature matching; lambda in eq. 5."""
    perceptual_weight: NonNegativeFloat = 10.0
    """Weight of the loss of VGG-19 or of what stands in for it; it is off where there are no weights, and the run says
    so."""
    pool_size: NonNegativeInt = 0
    """Past photos that the discriminators are shown again; none in the paper."""
    edges: bool = True
    """Give the generator the borders of instances, or of labels where there are no instance maps."""
    style_features: NonNegativeInt = 0
    """Numbers that describe how an instance looks, read off real images by an encoder; 3 in the paper, 0 for none."""
    style_channels: PositiveInt = 16
    """Width of the encoder's first layer."""
    style_halvings: PositiveInt = 4
    """Halvings in the encoder."""
    style_clusters: PositiveInt = 10
    """Looks of each class to choose from when translating (sec. 3.4)."""
    labels: Literal[19, 35] = TRAIN_IDS
    """19: train ids, and a channel for ignored pixels. 35: Cityscapes' labelIds, as in the authors' checkpoints."""

    def __post_init__(self) -> None:
        super().__post_init__()
        phases = self.global_steps + self.enhancer_steps
        if phases and self.generator == "global":
            raise ValueError('global_steps and enhancer_steps are phases of the generator "local"; set generator to it')
        if phases > self.steps:
            raise ValueError(
                f"global_steps {self.global_steps} and enhancer_steps {self.enhancer_steps} do not fit into steps "
                f"{self.steps}"
            )
        if self.generator_channels % 2**self.used_enhancers:
            raise ValueError(
                f"generator_channels is {self.generator_channels}; with {self.used_enhancers} enhancers, each of which "
                f"has half, it must divide by {2**self.used_enhancers}"
            )

    @property
    def used_enhancers(self) -> int:
        """How many there are; 0 around the generator "global"."""
        return self.enhancers if self.generator == "local" else 0

    @property
    def ignore_channel(self) -> bool:
        """Whether ignored pixels have a channel."""
        return self.labels == TRAIN_IDS

    def check_crop(self, width: int, height: int) -> None:
        halvings = self.halvings + self.used_enhancers
        least = max(2**halvings, 2**self.style_halvings if self.style_features else 1)
        if width % least or height % least or min(width, height) < 2 * least:
            raise ValueError(
                f"crop is {width}x{height}; with {halvings} halvings in all, both sides must divide by {least} and be "
                f"at least {2 * least}. Change crop, halvings, enhancers or style_halvings"
            )
        judged = 2 ** (self.scales - 1 + (self.used_enhancers if self.global_steps else 0))
        if min(width, height) <= judged:
            raise ValueError(
                f"crop is {width}x{height}, of which the coarsest of {self.scales} discriminators sees a single row or "
                f"column; both sides must be above {judged}. Enlarge crop, or lower scales"
            )


class Pix2pixHD(OneWayTraining, LayoutTranslator):
    """A generator of one or more resolutions, discriminators at several scales, optionally an encoder of styles."""

    learns_from: ClassVar[LearnsFrom] = "paired"
    Settings = Pix2pixHDSettings

    def __init__(self, settings: Pix2pixHDSettings, perceptual: PerceptualLoss | None = None) -> None:
        """Draw all weights.

        Args:
            settings: All that the paper leaves to choose.
            perceptual: The VGG loss; None goes without, whatever its weight.
        """
        super().__init__(**_what_translates(settings))
        self.settings = settings
        self.learning_rate = LearningRate(settings.steps, settings.decay_fraction)
        self.perceptual = perceptual if settings.perceptual_weight > 0 else None
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))

        # Networks that only training needs
        self.coarse_closing = coarse_closing(settings.generator_channels) if settings.global_steps else None
        self.discriminator = MultiscaleDiscriminator(
            in_channels=_layout_channels(settings) + 3,
            base_channels=settings.discriminator_channels,
            layers=settings.discriminator_layers,
            scales=settings.scales,
        )
        self.pool = ImagePool(settings.pool_size)
        self.encoder = None
        if settings.style_features:
            self.encoder = FeatureEncoder(
                features=settings.style_features,
                base_channels=settings.style_channels,
                halvings=settings.style_halvings,
            )
        self.average = self.fresh_average()

        makers = [network for network in (self.source_to_target, self.coarse_closing, self.encoder) if network]
        self._optimizers = {
            "generator": adam([one for network in makers for one in network.parameters()], settings.learning_rate),
            "discriminator": adam(self.discriminator.parameters(), settings.learning_rate),
        }

    @classmethod
    def translator(cls, settings: Pix2pixHDSettings) -> LayoutTranslator:
        return LayoutTranslator(**_what_translates(settings))

    @classmethod
    def kept(cls, settings: Pix2pixHDSettings) -> dict[str, str]:
        return super().kept(settings) | ({"styles": "styles."} if settings.style_features else {})

    @property
    def phase(self) -> Phase:
        """What the next step trains; a function of the steps taken."""
        taken = int(self.steps_taken)
        if taken < self.settings.global_steps:
            return "global"
        return "enhancer" if taken < self.settings.global_steps + self.settings.enhancer_steps else "joint"

    def step(self, batch: PairedBatch, update: Update) -> dict[str, Tensor]:
        """Synthesise from the layout, let the generator learn, then the discriminators. Wang et al., sec. 3."""
        if self.settings.global_steps and self.steps_taken == self.settings.global_steps:
            # From here on images are larger; those in the pool are of the global generator's resolution.
            peers, self.pool = self.pool.peers, ImagePool(self.pool.capacity).to(batch.image.device)
            self.pool.peers = peers
        fake, real, layout = self._synthesise(batch, self.phase)
        judged_real = self.discriminator(torch.cat([layout, real], dim=1))

        learnt = update("generator", self.generator_losses(layout, fake, real, judged_real))

        judged_fake = self.discriminator(self.pool(torch.cat([layout, fake], dim=1).detach()))
        learnt |= update("discriminator", {"discriminator": discriminator_loss(judged_real, judged_fake)})

        self.steps_taken += 1
        self.follow_with_average()
        due = self.steps_taken % CLUSTER_EVERY == 0 or self.steps_taken >= self.settings.steps
        if self.styles is not None and due:
            self.styles.form_clusters()
        return learnt

    def generator_losses(
        self, layout: Tensor, fake: Tensor, real: Tensor, judged_real: list[list[Tensor]]
    ) -> dict[str, Tensor]:
        """What the generator pays for being recognised and for looking otherwise than the real image.

        Args:
            layout: (B, C, H, W), without styles.
            fake: (B, 3, H, W) in [-1, 1]; gradients flow.
            real: The image that belongs to the layout.
            judged_real: What the discriminators make of it.

        Source: Wang et al., CVPR 2018, eq. 3 and 5; the VGG loss is that of sec. 4.
        """
        with frozen(self.discriminator):
            judged_fake = self.discriminator(torch.cat([layout, fake], dim=1))
        losses = {"adversarial": adversarial_loss(judged_fake)}
        if self.settings.feature_weight > 0:
            losses["features"] = self.settings.feature_weight * feature_matching(judged_fake, judged_real)
        if self.perceptual is not None:
            losses["perceptual"] = self.settings.perceptual_weight * self.perceptual(fake, real)
        return losses

    def _synthesise(self, batch: PairedBatch, phase: Phase) -> tuple[Tensor, Tensor, Tensor]:
        """Fake, real and layout, all of the resolution that the phase trains."""
        indices = class_indices(batch.label_map, self.labels, self.ignore_channel)
        layout, real = self.layout(indices, batch.instance_map), to_signed(batch.image)
        given = layout
        if self.encoder is not None and self.styles is not None:
            things = regions(indices, batch.instance_map)
            styles = self.encoder(real, things.numbers)
            self.styles.remember(styles, things.label)
            given = torch.cat([layout, painted(styles, things.numbers)], dim=1)
        generator = self.source_to_target
        if phase == "global" and isinstance(generator, LocalEnhancer) and self.coarse_closing is not None:
            fake = self.coarse_closing(generator.model(generator.coarse(given)))
            return fake, nn.functional.interpolate(real, fake.shape[-2:], mode="area"), generator.coarse(layout)
        with frozen(*([generator.model] if phase == "enhancer" else [])):
            return generator(given), real, layout

    @torch.no_grad()
    def preview(self, batch: PairedBatch) -> dict[str, Tensor]:
        """The layout, the photo made of it (in looks that it chose itself), and the real one.

        Cityscapes' labelIds have no colours here, so without a picture of the layout.
        """
        layout = {"layout": paint_classes(batch.label_map)} if self.labels == TRAIN_IDS else {}
        fake = self.translate(batch.label_map, instance_map=batch.instance_map)
        return layout | {"fake_target": fake, "target": batch.image}


def _what_translates(settings: Pix2pixHDSettings) -> dict[str, Any]:
    """The arguments of a `LayoutTranslator`, its weights freshly drawn."""
    styles = None
    if settings.style_features:
        classes = settings.labels + settings.ignore_channel
        styles = StyleMemory(classes, settings.style_features, settings.style_clusters)
    return {
        "generator": _generator(settings),
        "labels": settings.labels,
        "ignore_channel": settings.ignore_channel,
        "edges": settings.edges,
        "styles": styles,
    }


def _layout_channels(settings: Pix2pixHDSettings) -> int:
    """Channels of a layout, without styles."""
    return settings.labels + settings.ignore_channel + settings.edges


def _generator(settings: Pix2pixHDSettings) -> nn.Module:
    """The global generator at its resolution, and the enhancers around it, if any."""
    sizes = {
        "in_channels": _layout_channels(settings) + settings.style_features,
        "halvings": settings.halvings,
        "blocks": settings.blocks,
    }
    enhancers = settings.used_enhancers
    if enhancers == 0:
        return GlobalGenerator(base_channels=settings.generator_channels, **sizes)
    return LocalEnhancer(
        base_channels=settings.generator_channels // 2**enhancers,
        enhancers=enhancers,
        enhancer_blocks=settings.enhancer_blocks,
        **sizes,
    )
