"""Settings of stage two's training. Defaults are those of the real-time segmenters' published recipes."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipelines.settings import Fraction, Settings
from segment.classes import CLASS_NAMES

Size = tuple[PositiveInt, PositiveInt]
Quality = Annotated[int, Field(ge=1, le=100)]
NetworkName = Literal[
    "ddrnet23_slim",
    "ddrnet23",
    "ddrnet39",
    "pidnet_s",
    "pidnet_m",
    "pidnet_l",
    "bisenetv1",
    "bisenetv2",
    "stdc1",
    "stdc2",
    "ppliteseg_t",
    "ppliteseg_b",
    "deeplabv2_resnet101",
    "deeplabv2_resnet101_multi",
    "deeplabv3_resnet101",
    "lraspp",
    "deeplabv3plus_wrn38",
    "hierarchical_deeplabv3plus_wrn38",
]
"""Keys of `segment.networks.NETWORKS`, written out so that a config is read without importing torch."""


class Shares(Settings):
    """Of what the training batches of the translated net are made; the three add up to 1."""

    translated: Fraction = 1.0
    source: Fraction = 0.0
    target: Fraction = 0.0
    """Labelled real frames. Above 0 the net is no longer free of real labels."""

    @model_validator(mode="after")
    def _adds_up(self) -> "Shares":
        total = self.translated + self.source + self.target
        if abs(total - 1) > 1e-6:
            raise ValueError(f"shares add up to {total:g}, they must add up to 1")
        return self


class AugmentationSettings(Settings):
    """How a training frame is varied, each time that it is drawn. Probabilities are per frame.

    What makes rendered frames look like a camera's (noise, JPEG, the target's colours) is off by default; each bundled
    experiment says what it uses.
    """

    scale: tuple[PositiveFloat, PositiveFloat] = (0.5, 2.0)
    """Range of the random scale, drawn log-uniformly."""
    crop: Size = (1024, 1024)
    """Width and height of the training crops."""
    flip: bool = True
    """Mirror half of the frames."""
    colour_jitter: Fraction = 0.5
    """Strength of random brightness, contrast and saturation; hue gets a tenth of it. 0.5 in BiSeNet's code."""
    gamma: Fraction = 0.0
    """Probability of raising all values to a power between 1/2 and 2: exposures that a renderer never shows."""
    grey: Fraction = 0.0
    """Probability of a frame without colour; 0.1 makes a network rely less on it."""
    blur: Fraction = 0.0
    """Probability of a Gaussian blur of up to two pixels."""
    noise: Fraction = 0.0
    """Probability of a sensor's noise, which grows with the light (Foi et al. 2008), as strong as cameras have it
    (Brooks et al., CVPR 2019)."""
    jpeg: Fraction = 0.0
    """Probability of a JPEG compression with a quality from `jpeg_quality`."""
    jpeg_quality: tuple[Quality, Quality] = (40, 95)
    """Lowest and highest quality, drawn evenly."""
    style_from_target: Fraction = 0.0
    """Probability that a source or translated frame takes the looks of a random target frame, whose labels are not
    needed. Target frames keep theirs."""
    style: Literal["colour", "fourier", "either"] = "colour"
    """What it takes: the statistics of colours (Reinhard et al. 2001), the amplitudes of low frequencies (FDA, Yang and
    Soatto, CVPR 2020), or one of both by the toss of a coin."""
    style_window: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """beta of FDA: which frequencies are low. 0.01, 0.05 and 0.09 there; larger changes more and shows artefacts."""
    augment_on: Literal["workers", "device"] = "workers"
    """Where flip and the changes of colour are made: frame by frame in the processes that read frames, or batch by
    batch on the training's device, which pays where a GPU waits for few processors. The draws differ, their
    distributions do not."""

    @model_validator(mode="after")
    def _ordered_ranges(self) -> "AugmentationSettings":
        for name in ("scale", "jpeg_quality"):
            first, last = getattr(self, name)
            if first > last:
                raise ValueError(f"{name} goes from {first:g} to {last:g}; the first must be the smaller")
        return self


class SegmenterSettings(AugmentationSettings):
    """Stage two's training; the same for every arm of a comparison but for the frames."""

    method: Literal["supervised"] = "supervised"
    network: NetworkName = "ddrnet23_slim"
    aspp_branches: Literal[2, 4] = 2
    """Of DeepLabV2's classifier: 2 as AdaptSegNet's code computes and as its checkpoints were trained, 4 as the paper
    says (arXiv:1606.00915)."""
    shares: Shares = Shares()
    exact_shares: bool = False
    """Whether each batch holds the shares as exactly as they divide (6 and 6 of 12 at 0.5); otherwise each frame draws
    where it comes from, and the shares hold on average."""
    last_steps_on_target: NonNegativeInt = 0
    """So many steps at the end learn from labelled target frames alone; needs `shares.target` above 0."""
    steps: PositiveInt = 80_000
    batch: PositiveInt = 12
    """Of one step, over all processes of torchrun, which share it evenly: their number does not change what is learnt
    from. Most networks need 2 or more in each process, since batch statistics of a globally pooled map need two images.
    1 is for networks without such a map, and for batch normalisation that is frozen or, with several processes, synced.
    """
    batch_norm: Literal["batch", "frozen", "synced"] = "batch"
    """"frozen" keeps statistics, scales and shifts as they are, which only makes sense with `encoder_weights`; "synced"
    takes the statistics over the batches of all processes of torchrun, and is "batch" in a single one. With "batch"
    each of several processes normalises by its own part, and the running statistics of process 0 are kept."""
    encoder_weights: str | None = None
    """What the encoder starts from: a file of weights, or "torchvision" for its ImageNet weights where they lie in
    torch's cache; nothing is downloaded. Absent: random weights, which cost 0 to 4 points of mIoU in long training on
    Cityscapes, and more in short."""
    height: PositiveInt = 1024
    """Frames are brought to this height before augmentation, and for prediction."""
    loss: Literal["ohem", "cross_entropy", "focal", "dice", "boundary", "cross_entropy+dice", "boundary+dice"] = "ohem"
    """Of every head. "ohem" is cross-entropy on the hard pixels (BiSeNet's code); "focal" weighs pixels by how unsure
    the network is (Lin et al., ICCV 2017); "dice" counts classes alike (Milletari et al., 3DV 2016); "boundary" gives
    the pixels beside another class half of the cross-entropy. "boundary+dice" is super-gradients' recipe for DDRNet,
    which reports 1.4 mIoU more than with "ohem"."""
    class_weights: str | tuple[float, ...] | None = None
    """Weights of the classes in that loss: "inverse_log" for 1 / ln(1.02 + share), the shares counted on the training
    frames (ENet, arXiv:1606.02147), or a list of 19; absent: all alike."""
    auxiliary_weight: NonNegativeFloat | None = None
    """Of the loss of each head that only training uses; absent: the network's own."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of SGD."""
    weight_decay: NonNegativeFloat = 5e-4
    """On convolution weights; biases and normalisation have none, as in BiSeNet's code."""
    schedule: Literal["poly", "cosine"] = "poly"
    """How the learning rate falls after the warm-up; "cosine" as in SGDR (arXiv:1608.03983), without restarts."""
    poly_power: PositiveFloat = 0.9
    """Of "poly": the rate is (1 - progress) ** poly_power (DeepLab, arXiv:1606.00915)."""
    warmup_steps: NonNegativeInt = 1000
    """Steps in which the rate rises to its full height."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of the moving average of the weights that is then evaluated; absent: no average."""
    rare_class_sampling: bool = False
    """Draw frames by class, rare ones more often (Hoyer et al., CVPR 2022, sec. 3.3)."""
    rare_class_temperature: PositiveFloat = 0.01
    """T of eq. 11 there; smaller favours rare classes more."""
    least_label_consistency: Fraction | None = None
    """Leave out translated frames whose score in the manifest is below this (`sim2real translate audit` scores them);
    absent: use all."""
    weigh_by_consistency: bool = False
    """Draw translated frames in proportion to that score."""
    checkpoint_every: PositiveInt = 500
    preview_every: PositiveInt = 250

    @model_validator(mode="after")
    def _one_weight_a_class(self) -> "SegmenterSettings":
        weights, wanted = self.class_weights, f'"inverse_log" or {len(CLASS_NAMES)} numbers, one a class'
        if isinstance(weights, str) and weights != "inverse_log":
            raise ValueError(f"class_weights is {weights!r}; expected {wanted}")
        if isinstance(weights, tuple):
            if len(weights) != len(CLASS_NAMES):
                raise ValueError(f"class_weights holds {len(weights)} numbers; expected {wanted}")
            if min(weights) < 0 or max(weights) == 0:
                raise ValueError(
                    f"class_weights goes from {min(weights):g} to {max(weights):g}; expected none below 0 and not all 0"
                )
        return self

    @model_validator(mode="after")
    def _ends_on_frames_that_it_has(self) -> "SegmenterSettings":
        if self.last_steps_on_target > 0 and self.shares.target == 0:
            raise ValueError("last_steps_on_target needs labelled target frames; set shares.target above 0")
        if self.last_steps_on_target > self.steps:
            raise ValueError(f"last_steps_on_target is {self.last_steps_on_target} and steps {self.steps}; lower it")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> "SegmenterSettings":
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} and steps {self.steps}; set warmup_steps below steps"
            )
        return self
