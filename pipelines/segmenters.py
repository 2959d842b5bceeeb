"""Settings of stage two's training. Defaults are those of the real-time segmenters' published recipes."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipelines.settings import Fraction, Settings

Size = tuple[PositiveInt, PositiveInt]
NetworkName = Literal[
    "ddrnet23_slim",
    "ddrnet23",
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


class SegmenterSettings(Settings):
    """Stage two's training; the same for every arm of a comparison but for the frames."""

    method: Literal["supervised"] = "supervised"
    network: NetworkName = "ddrnet23_slim"
    shares: Shares = Shares()
    steps: PositiveInt = 80_000
    batch: Annotated[int, Field(ge=2)] = 12
    """At least 2: batch statistics of a globally pooled map need two images."""
    height: PositiveInt = 1024
    """Frames are brought to this height before augmentation, and for prediction."""
    crop: Size = (1024, 1024)
    """Width and height of the training crops."""
    scale: tuple[PositiveFloat, PositiveFloat] = (0.5, 2.0)
    """Range of the random scale, drawn log-uniformly."""
    flip: bool = True
    colour_jitter: Fraction = 0.5
    """Strength of random brightness, contrast and saturation; hue gets a tenth of it."""
    blur: Fraction = 0.0
    """Probability of a Gaussian blur of up to two pixels."""
    loss: Literal["ohem", "cross_entropy"] = "ohem"
    auxiliary_weight: NonNegativeFloat | None = None
    """Of the loss of each head that only training uses; absent: the network's own."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.01
    weight_decay: NonNegativeFloat = 5e-4
    warmup_steps: NonNegativeInt = 1000
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
    def _ordered_scale(self) -> "SegmenterSettings":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale goes from {self.scale[0]:g} to {self.scale[1]:g}; the first must be the smaller")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> "SegmenterSettings":
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps is {self.warmup_steps} and steps {self.steps}; set warmup_steps below steps"
            )
        return self
