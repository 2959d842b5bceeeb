"""pix2pixHD: photos from layouts, learnt from frames whose layout is known.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018
(arXiv:1711.11585). Trained on labelled target frames it turns a simulator's layouts into photos whose label is known.
Images are in [0, 1] outside this file and in [-1, 1] within it.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from segment.appearance.colours import paint_classes
from segment.averaging import MovingAverage
from segment.methods.method import Update
from segment.networks.freezing import frozen
from translate.image_pool import ImagePool
from translate.layouts import borders, class_indices, one_hot, painted, regions
from translate.methods.batches import PairedBatch
from translate.methods.translator import Direction, Translator, evaluating
from translate.multiscale_losses import adversarial_loss, discriminator_loss, feature_matching
from translate.networks.feature_encoder import FeatureEncoder
from translate.networks.multiscale_discriminator import MultiscaleDiscriminator
from translate.networks.perceptual import PerceptualLoss
from translate.networks.pix2pixhd import GlobalGenerator, LocalEnhancer, coarse_closing
from translate.padding import pad_to_multiple
from translate.schedules import LearningRate
from translate.styles import StyleMemory, style_keys
from translate.value_range import to_signed, to_unit

Phase = Literal["global", "enhancer", "joint"]
CLUSTER_EVERY = 100
"""Steps between two clusterings of the styles; the last step of the training clusters too."""


class Pix2pixHD(Translator):
    """A generator of one or more resolutions, discriminators at several scales, optionally an encoder of styles.

    Args:
        steps: Steps of the whole training; the learning rate's schedule follows from it.
        decay_fraction: Last part of the training, in which the learning rate falls linearly; 0 keeps it constant.
        labels: Classes; ids go from 0 to labels - 1. 35 in the authors' checkpoints, which have labelIds.
        ignore_channel: Give ignored pixels (255) a channel of their own, after the classes.
        edges: Add a channel of instance borders; of label borders where there are no instances.
        enhancers: Local enhancers around the global generator, each of which doubles its resolution; 0 for none.
        generator_channels: Channels of the global generator at its full resolution; an enhancer has half as many.
        halvings: Of the global generator.
        blocks: Of the global generator.
        enhancer_blocks: Residual blocks of each enhancer.
        global_steps: First steps, in which the global generator learns alone, at its own resolution.
        enhancer_steps: Steps after that, in which the enhancers learn and the global generator is fixed.
        discriminator_channels: Channels of each discriminator's first layer.
        discriminator_layers: Of each discriminator.
        scales: How many discriminators, each at half the resolution of the one before.
        feature_weight: Of feature matching; lambda in eq. 5.
        perceptual_weight: Of the VGG loss.
        perceptual: The VGG loss; None goes without.
        pool_size: Past fakes that the discriminators are shown again; 0 in the paper.
        style_features: Numbers that describe an instance's looks, from an encoder trained along; 0 for no encoder.
        style_channels: Channels of the encoder at full resolution.
        style_halvings: Of the encoder.
        style_clusters: Looks of each class to choose from at use.
        learning_rate: Initial rate of both Adam optimizers.
        betas: Decay rates of Adam's two moments.
        ema_decay: Of a moving average of the generator, which then translates; None for no average.

    Raises:
        ValueError: A number is out of range, or two contradict each other.
    """

    takes: ClassVar[Literal["image", "label_map"]] = "label_map"
    directions: ClassVar[tuple[Direction, ...]] = ("source_to_target",)

    def __init__(
        self,
        *,
        steps: int,
        decay_fraction: float = 0.5,
        labels: int = 19,
        ignore_channel: bool = True,
        edges: bool = True,
        enhancers: int = 0,
        generator_channels: int = 64,
        halvings: int = 4,
        blocks: int = 9,
        enhancer_blocks: int = 3,
        global_steps: int = 0,
        enhancer_steps: int = 0,
        discriminator_channels: int = 64,
        discriminator_layers: int = 3,
        scales: int = 2,
        feature_weight: float = 10.0,
        perceptual_weight: float = 10.0,
        perceptual: PerceptualLoss | None = None,
        pool_size: int = 0,
        style_features: int = 0,
        style_channels: int = 16,
        style_halvings: int = 4,
        style_clusters: int = 10,
        learning_rate: float = 2e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        ema_decay: float | None = None,
    ) -> None:
        super().__init__()
        _check_phases(steps, enhancers, global_steps, enhancer_steps)
        self.learning_rate = LearningRate(steps, decay_fraction)
        if min(feature_weight, perceptual_weight, style_features, enhancers) < 0:
            raise ValueError(
                f"None of these can be negative: feature_weight {feature_weight}, perceptual_weight "
                f"{perceptual_weight}, style_features {style_features}, enhancers {enhancers}."
            )
        self.steps, self.global_steps, self.enhancer_steps = steps, global_steps, enhancer_steps
        self.labels, self.ignore_channel, self.edges = labels, ignore_channel, edges
        self.feature_weight, self.perceptual_weight = feature_weight, perceptual_weight
        self.perceptual = perceptual if perceptual_weight > 0 else None
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))

        # Networks
        self.classes = labels + ignore_channel
        layout_channels = self.classes + edges
        sizes = {"in_channels": layout_channels + style_features, "halvings": halvings, "blocks": blocks}
        self.source_to_target = _generator(generator_channels, enhancers, enhancer_blocks, sizes)
        self.coarse_closing = coarse_closing(generator_channels) if global_steps else None
        self.discriminator = MultiscaleDiscriminator(
            in_channels=layout_channels + 3,
            base_channels=discriminator_channels,
            layers=discriminator_layers,
            scales=scales,
        )
        self.pool = ImagePool(pool_size)
        self.encoder, self.styles = None, None
        if style_features:
            self.encoder = FeatureEncoder(
                features=style_features, base_channels=style_channels, halvings=style_halvings
            )
            self.styles = StyleMemory(self.classes, style_features, style_clusters)
        self.ema_decay = ema_decay
        self.average = self._fresh_average()

        # Optimizers
        makers = [network for network in (self.source_to_target, self.coarse_closing, self.encoder) if network]
        weights = [parameter for network in makers for parameter in network.parameters()]
        self._optimizers: dict[str, Optimizer] = {
            "generator": _adam(weights, learning_rate, betas),
            "discriminator": _adam(list(self.discriminator.parameters()), learning_rate, betas),
        }

    def optimizers(self) -> dict[str, Optimizer]:
        return self._optimizers

    def learning_rate_scale(self, step: int) -> float:
        return self.learning_rate.scale(step)

    @property
    def phase(self) -> Phase:
        """What the next step trains; a function of the steps taken."""
        taken = int(self.steps_taken)
        if taken < self.global_steps:
            return "global"
        return "enhancer" if taken < self.global_steps + self.enhancer_steps else "joint"

    def step(self, batch: PairedBatch, update: Update) -> dict[str, Tensor]:
        """Synthesise from the layout, let the generator learn, then the discriminators. Wang et al., sec. 3."""
        if self.global_steps and self.steps_taken == self.global_steps:
            # From here on images are larger; those in the pool are of the global generator's resolution.
            peers, self.pool = self.pool.peers, ImagePool(self.pool.capacity).to(batch.image.device)
            self.pool.peers = peers
        fake, real, layout = self._synthesise(batch, self.phase)
        judged_real = self.discriminator(torch.cat([layout, real], dim=1))

        learnt = update("generator", self.generator_losses(layout, fake, real, judged_real))

        judged_fake = self.discriminator(self.pool(torch.cat([layout, fake], dim=1).detach()))
        learnt |= update("discriminator", {"discriminator": discriminator_loss(judged_real, judged_fake)})

        self.steps_taken += 1
        if self.average is not None:
            self.average.update(self.source_to_target)
        if self.styles is not None and (self.steps_taken % CLUSTER_EVERY == 0 or self.steps_taken >= self.steps):
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
        if self.feature_weight > 0:
            losses["features"] = self.feature_weight * feature_matching(judged_fake, judged_real)
        if self.perceptual is not None:
            losses["perceptual"] = self.perceptual_weight * self.perceptual(fake, real)
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

    def layout(self, indices: Tensor, instance_map: Tensor | None) -> Tensor:
        """Channel numbers int64 (B, H, W) to (B, C, H, W): one-hot classes and, if wanted, edges."""
        classes = one_hot(indices, self.classes)
        if not self.edges:
            return classes
        return torch.cat([classes, borders(indices if instance_map is None else instance_map)], dim=1)

    def generator(self, direction: Direction = "source_to_target") -> nn.Module:
        """The generator to use, its average if there is one: layout (with styles, if it has any) to signed image."""
        self.check_direction(direction)
        return self.source_to_target if self.average is None else self.average.network

    @torch.no_grad()
    def translate(
        self,
        label_map: Tensor,
        direction: Direction = "source_to_target",
        instance_map: Tensor | None = None,
        style_seed: int = 0,
    ) -> Tensor:
        """Turn label maps of any size into photos, without gradient.

        Args:
            label_map: Integers (B, H, W), train ids, 255 = ignore; mirrored at the right and bottom to a size that the
                generator takes.
            direction: "source_to_target", the only one.
            instance_map: Integers (B, H, W) of at least 0, one id per thing; None takes label borders for edges.
            style_seed: Chooses each instance's look among its class's clusters, where the method has any. Equal layouts
                get equal looks whatever batch they come in; another seed gives others.

        Returns:
            (B, 3, H, W), float32 in [0, 1], every pixel where its label was.

        Raises:
            ValueError: Another direction, a label id out of range, or a map that is not (B, H, W).
        """
        generator = self.generator(direction)
        if label_map.ndim != 3:
            raise ValueError(f"The label map has shape {tuple(label_map.shape)}; expected (B, H, W).")
        if instance_map is not None and instance_map.shape != label_map.shape:
            raise ValueError(
                f"The instance map has shape {tuple(instance_map.shape)}, the label map {tuple(label_map.shape)}."
            )
        height, width = label_map.shape[-2:]
        indices = class_indices(label_map, self.labels, self.ignore_channel)
        multiple, smallest = generator.side_multiple, generator.smallest_side
        indices = _padded(indices, multiple, smallest)
        instance_map = None if instance_map is None else _padded(instance_map.long(), multiple, smallest)
        layout = self.layout(indices, instance_map)
        if self.styles is not None:
            things = regions(indices, instance_map)
            looks = self.styles.draw(things.label, style_keys(things, indices, style_seed))
            layout = torch.cat([layout, painted(looks, things.numbers)], dim=1)
        with evaluating(generator):
            return to_unit(generator(layout))[..., :height, :width]

    @torch.no_grad()
    def preview(self, batch: PairedBatch) -> dict[str, Tensor]:
        """The layout, the photo made of it (in looks that it chose itself), and the real one."""
        fake = self.translate(batch.label_map, instance_map=batch.instance_map)
        return {"layout": paint_classes(batch.label_map), "fake_target": fake, "target": batch.image}

    def start_from(self, state: Mapping[str, Tensor]) -> None:
        super().start_from(state)
        self.average = self._fresh_average()

    def _fresh_average(self) -> MovingAverage | None:
        return None if self.ema_decay is None else MovingAverage(self.source_to_target, self.ema_decay)


def _generator(channels: int, enhancers: int, enhancer_blocks: int, sizes: dict[str, int]) -> nn.Module:
    """The global generator with `channels` at its resolution, and the enhancers around it, if any."""
    if enhancers == 0:
        return GlobalGenerator(base_channels=channels, **sizes)
    if channels % 2**enhancers:
        raise ValueError(
            f"generator_channels is {channels}; with {enhancers} enhancers, each of which has half, it must divide by "
            f"{2**enhancers}."
        )
    return LocalEnhancer(
        base_channels=channels // 2**enhancers, enhancers=enhancers, enhancer_blocks=enhancer_blocks, **sizes
    )


def _adam(parameters: list[nn.Parameter], learning_rate: float, betas: tuple[float, float]) -> Adam:
    # Fused: one pass over the weights instead of a dozen.
    return Adam(parameters, lr=learning_rate, betas=betas, fused=True)


def _check_phases(steps: int, enhancers: int, global_steps: int, enhancer_steps: int) -> None:
    if min(global_steps, enhancer_steps) < 0 or global_steps + enhancer_steps > steps:
        raise ValueError(
            f"global_steps {global_steps} and enhancer_steps {enhancer_steps} must fit into {steps} steps; the rest "
            "trains all networks jointly."
        )
    if enhancers == 0 and global_steps + enhancer_steps > 0:
        raise ValueError(
            f"global_steps {global_steps} and enhancer_steps {enhancer_steps} need enhancers; there are none, and the "
            "global generator learns alone throughout."
        )


def _padded(ids: Tensor, multiple: int, smallest: int) -> Tensor:
    """Ids int64 (B, H, W) mirrored at the right and bottom; torch mirrors floats only, exact here up to 2^53."""
    return pad_to_multiple(ids[:, None].double(), multiple, smallest)[:, 0].long()
