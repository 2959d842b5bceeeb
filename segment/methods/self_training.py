"""What the methods have in common that learn from pseudo-labels of a teacher, mixed into labelled frames.

The teacher is the moving average of the network's own weights (Tarvainen and Valpola, NeurIPS 2017); mixing source and
target is due to DACS (Tranheden et al., WACV 2021), which DAFormer and MIC build on. A subclass says in its step what
its paper does with them.
"""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from segment.adaptation.feature_distance import feature_distance, locations_of_things
from segment.adaptation.guards import PseudoLabelCollapse, UnsureTeacher
from segment.adaptation.mixing import MASKS, Mixture, mixture
from segment.averaging import MovingAverage
from segment.batches import LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.losses import cross_entropy, weighted_cross_entropy
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.normalisation import share_statistics
from segment.settings import (
    Decay,
    Fraction,
    NonNegativeFloat,
    NonNegativeInt,
    OneOf,
    PositiveFloat,
    check_settings,
)

if TYPE_CHECKING:
    from torchvision.transforms.v2 import Transform

SMALLEST_BLUR = 0.15
NOT_MEASURED = torch.finfo(torch.float32).max
"""A loss that was not measured yet: above all others, and a finite number, as all of a state must be."""
SHARE_OF_THE_LATEST = 0.01
"""Weight of the latest value in the moving means of the source's loss and of the teacher's likelihoods."""


@dataclass(frozen=True)
class SelfTrainingSettings:
    """Defaults are those of DACS's code, but for colours: there they change by 0.25, hue included, in four frames of
    five; here by 0.2, and hue by half as much, in every frame.
    """

    mixed_weight: PositiveFloat = 1.0
    """Weight of the loss on mixed frames; lambda in DACS, eq. 1."""
    mix: Annotated[str, OneOf("segment.adaptation.mixing.MASKS")] = "classes"
    """What of a source frame is pasted over a target frame: half of its "classes" (ClassMix) or a "rectangle" of half
    its area (CutMix)."""
    teacher_decay: Decay = 0.99
    """Decay of the moving average that labels the target; 0.999 in DAFormer and MIC. At update n it is at most
    (1 + n) / (10 + n), in the papers' codes n / (n + 1)."""
    threshold: Fraction = 0.968
    """A pixel of the target is sure if its best class is at least so likely. A small network is seldom so sure: where
    the log's `pseudo_weight` stays near 0, lower it."""
    thresholds: Literal["fixed", "per_class"] = "fixed"
    """"fixed": all pseudo-labels of a frame weigh by the share of its pixels that are sure, as in DACS. "per_class":
    sure pixels weigh 1 and the others nothing, as in FreeMatch, and the threshold is lower for classes that the teacher
    is less sure of in the mean, so that rare ones count too."""
    colour_jitter: Fraction = 0.2
    """Strength of the changes of colour on the frames that the student sees and the teacher does not."""
    blur: Fraction = 0.5
    """Probability of blurring such a frame."""
    largest_blur: NonNegativeFloat = 1.15
    """Standard deviation in pixels, the smallest being 0.15."""
    feature_distance_weight: NonNegativeFloat = 0.0
    """Weight of the distance to the features of ImageNet's encoder on labelled things, 0.005 in DAFormer (Hoyer et al.,
    CVPR 2022, eq. 8); above 0 it needs `segmenter.encoder_weights`."""
    feature_share: Fraction = 0.75
    """Share of a feature's pixels that must be of one thing for it to count; r in DAFormer, eq. 7."""
    ignored_top: Fraction = 0.0
    """Share of a target crop's height at its top whose pseudo-labels are not learnt; 0.03 in DAFormer. A crop has to be
    as high as the frame it is of for that to be the frame's top: `segmenter.scale` 1 to 1, and no lower a crop."""
    ignored_bottom: Fraction = 0.0
    """The same at the bottom, where the own car is seen; 0.23 in DAFormer."""
    healthy_loss: NonNegativeFloat = 1.0
    """Self-training begins when the source's cross-entropy has fallen below this in the mean, since a teacher that does
    not know its own domain teaches noise; 0 waits for `start_step`."""
    start_step: NonNegativeInt = 2000
    """The step at which it begins at the latest; 0 begins at once, as DACS's code does."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.largest_blur < SMALLEST_BLUR:
            raise ValueError(f"largest_blur is {self.largest_blur}; it must be at least {SMALLEST_BLUR}")
        if self.ignored_top + self.ignored_bottom >= 1:
            raise ValueError("ignored_top and ignored_bottom leave nothing of a crop; they must add up to less than 1")


class SelfTraining(SegmenterTraining):
    """A segmenter and its teacher, the moving average of its weights."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    settings: SelfTrainingSettings
    steps_taken: Tensor
    source_loss: Tensor
    mean_likelihoods: Tensor
    began: Tensor

    def __init__(
        self,
        network: Segmenter,
        training: SegmenterTrainingSettings,
        settings: SelfTrainingSettings,
        **collaborators: Any,
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        if settings.feature_distance_weight > 0 and not self.encoder_from_imagenet:
            raise ValueError(
                "feature_distance_weight is above 0 and the encoder starts from no ImageNet weights; set "
                "segmenter.encoder_weights, or feature_distance_weight to 0"
            )
        self.imagenet = ImageNet(copy.deepcopy(network)) if settings.feature_distance_weight > 0 else None
        # Its batch statistics are averaged like its weights. In DACS's code they are never copied at all.
        self.teacher = MovingAverage(self.network, settings.teacher_decay)
        self.register_buffer("steps_taken", torch.zeros((), dtype=torch.int64))
        self.register_buffer("source_loss", torch.tensor(NOT_MEASURED))
        self.register_buffer("mean_likelihoods", torch.zeros(network.classes()))  # 0: not seen yet
        self.register_buffer("began", torch.tensor(settings.start_step == 0))
        self._began = settings.start_step == 0  # the same on the host: to read the buffer would wait for the device
        self.guards += [PseudoLabelCollapse(), UnsureTeacher()]
        self.register_load_state_dict_post_hook(_go_on_as_begun)
        from torchvision.transforms.v2 import ColorJitter, GaussianBlur  # seconds to import, for those that train

        strength = settings.colour_jitter
        self.jitter = ColorJitter(strength, strength, strength, strength / 2)
        self.blur = GaussianBlur(5, (SMALLEST_BLUR, settings.largest_blur))

    def teaching_network(self) -> Segmenter:
        """The network whose moving average is the teacher: the one that learns."""
        return self.network

    def source_losses(self, labelled: LabelledBatch) -> tuple[dict[str, Tensor], Tensor]:
        """The losses on labelled frames, of which those of features by the same pass, and the main logits."""
        if self.imagenet is None:
            output = self.output(labelled.image, "source")
            return self.supervised_losses(output, labelled.label_map), output.main.detach()
        output, features = self.output_and_map(self.network.with_encoder_features, labelled.image, "source")
        losses = self.supervised_losses(output, labelled.label_map)
        label_map = self.network.padded_labels(labelled.label_map)
        locations = locations_of_things(label_map, features.shape[-2:], self.settings.feature_share)
        distance = feature_distance(features, self.imagenet.features(labelled.image), locations)
        losses["feature_distance"] = self.settings.feature_distance_weight * distance
        return losses, output.main.detach()

    def teacher_is_ready(self, logits: Tensor, label_map: Tensor) -> bool:
        """Whether self-training has begun: the source is learnt well enough, or waited for long enough.

        Once it has begun it goes on, and nothing is asked of the device any more. The loss is the mean over the pixels
        that have a class, of all processes.

        Args:
            logits: Of the step's source frames, (B, K, H, W).
            label_map: Theirs, (B, H, W).
        """
        if self._began:
            return True
        with torch.no_grad():
            own_count = (label_map != IGNORE_INDEX).sum().float()
            total, count = self.peers.sum(torch.stack([cross_entropy(logits, label_map) * own_count, own_count]))
            loss = total / count.clamp(min=1)
            known = self.source_loss < NOT_MEASURED
            followed = torch.where(known, self.source_loss.lerp(loss, SHARE_OF_THE_LATEST), loss)
            # A batch without a label says nothing: its loss of 0 would be the healthiest of all.
            self.source_loss.copy_(torch.where(count > 0, followed, self.source_loss))
            waited = self.steps_taken >= self.settings.start_step
            self.began.copy_((self.source_loss < self.settings.healthy_loss) | waited)
        self._began = bool(self.began)
        return self._began

    @torch.no_grad()
    def pseudo_labels(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher sees in target frames, and how much it is to be believed.

        Returns:
            int64 (B, H, W); and (B, H, W), in each frame the share of pixels that the teacher is sure of, as in
            DAFormer's paper; in its code and in DACS's it is one share for the whole batch. With thresholds per class
            it is 1 where the teacher is sure and 0 elsewhere: a share would count sure classes for unsure ones, too.
        """
        likelihood, pseudo_label = self.teacher.network(target).float().softmax(dim=1).max(dim=1)
        if self.settings.thresholds == "per_class":
            weight = (likelihood >= self.thresholds_of_classes(likelihood, pseudo_label)[pseudo_label]).float()
        else:
            weight = (likelihood >= self.settings.threshold).float().mean(dim=(1, 2), keepdim=True)
        return pseudo_label, weight * self.rows_that_count(target.shape[-2], target.device).expand_as(likelihood)

    def rows_that_count(self, height: int, device: torch.device) -> Tensor:
        """1 for each row of a target crop that is learnt from, 0 for those at its top and bottom: (height, 1)."""
        row = torch.arange(height, device=device)
        top, bottom = round(self.settings.ignored_top * height), round(self.settings.ignored_bottom * height)
        return ((row >= top) & (row < height - bottom)).float()[:, None]

    @torch.no_grad()
    def thresholds_of_classes(self, likelihood: Tensor, pseudo_label: Tensor) -> Tensor:
        """The threshold of each class, (K,): the general one times how sure the teacher is of it, in the mean.

        The surest class has the general threshold, and so has one that was not seen yet. A class's mean begins with the
        first batch that shows it and moves with 0.01 of each further one; it is that of all processes.

        Source: FreeMatch, Wang et al., ICLR 2023 (arXiv:2205.07246), eq. 8, which scales a threshold by the classes'
            relative confidence. Differs: a class's mean is over the pixels given to it, and the general threshold is
            the setting's.
        """
        classes = len(self.mean_likelihoods)
        seen = pseudo_label.flatten()
        sums = likelihood.new_zeros(2, classes)
        sums[0].index_add_(0, seen, likelihood.flatten())
        sums[1].index_add_(0, seen, torch.ones_like(likelihood.flatten()))
        total, count = self.peers.sum(sums)
        mean = total / count.clamp(min=1)
        before = self.mean_likelihoods
        followed = torch.where(before > 0, before.lerp(mean, SHARE_OF_THE_LATEST), mean)
        before.copy_(torch.where(count > 0, followed, before))
        relative = torch.where(before > 0, before / before.max(), 1.0)
        return self.settings.threshold * relative

    def mixture(self, labelled: LabelledBatch, target: Tensor, pseudo_label: Tensor, weight: Tensor) -> Mixture:
        """Parts of source frames pasted over target frames, and strongly augmented.

        Args:
            labelled: The source frames.
            target: (B, 3, H, W), as many and of the same size.
            pseudo_label: Of the target, as `pseudo_labels` has it, with its `weight`.
        """
        mask = MASKS[self.settings.mix](labelled.label_map, self.peers)
        mixed = mixture(mask, labelled, target, pseudo_label, weight)
        return mixed._replace(image=self.strongly_augmented(mixed.image))

    def mixed_losses(self, mixture: Mixture) -> dict[str, Tensor]:
        """What the network pays for contradicting the mixture's labels. Tranheden et al., WACV 2021, eq. 1."""
        loss = weighted_cross_entropy(self.output(mixture.image, "target").main, mixture.label_map, mixture.weights)
        return {"mixed": self.settings.mixed_weight * loss}

    def strongly_augmented(self, image: Tensor) -> Tensor:
        """Images with other colours and perhaps blurred, each by its own draw: the student's task is the harder one."""
        # The step around it may run in bf16, in which a blur, a convolution, would leave every other of 256 levels.
        with torch.autocast(image.device.type, enabled=False):
            changed = self._each_by_its_draw(self.jitter, image)
            blurred = self._each_by_its_draw(self.blur, changed)
        drawn = self.peers.drawn(lambda images: torch.rand(images, 1, 1, 1, device=image.device), len(image))
        return torch.where(drawn < self.settings.blur, blurred, changed)

    def _each_by_its_draw(self, transform: "Transform", image: Tensor) -> Tensor:
        draws = self.peers.drawn(lambda images: [transform.make_params([image]) for _ in range(images)], len(image))
        return torch.stack([transform.transform(one, draw) for one, draw in zip(image, draws, strict=True)])

    def follow(self) -> None:
        """Let the averages follow: the teacher, and the one that is evaluated, if there is one.

        The teacher takes the network's batch statistics along, so that several processes first agree on these: each
        would have its target frames labelled by another network.
        """
        share_statistics(self.teaching_network(), self.peers.sum, self.peers.world_size)
        super().follow()
        self.teacher.update(self.teaching_network())
        self.steps_taken += 1


class ImageNet(nn.Module):
    """A network whose encoder is as ImageNet taught it; always in evaluation mode, and never trained.

    It is part of the state: a resumed training must not depend on a file of weights that is still there.
    """

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def features(self, image: Tensor) -> Tensor:
        """The encoder's deepest map of features, (B, C, h, w)."""
        return self.network.with_encoder_features(image)[1]


def _go_on_as_begun(method: SelfTraining, _: object) -> None:
    """Self-training that had begun when the state was saved goes on."""
    method._began = bool(method.began)
