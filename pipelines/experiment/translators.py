"""Settings of stage one's methods. Defaults are those of each method's paper, as its published code has them."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from pipelines.settings import Fraction, Settings

UNGUIDED = "unguided"
"""Value of `initial`: the same experiment's translator without guidance, trained first."""


class GuidanceSettings(Settings):
    """A frozen segmenter, the expert, keeps translated images readable; its forms work alone or together."""

    task_weight: NonNegativeFloat = 0.0
    """Of the expert's loss on the labelled target frames, translated to source (Mütze et al., VISAPP 2023)."""
    label_weight: NonNegativeFloat = 0.0
    """Of the expert's loss on translated source frames, whose labels come free."""
    consistency_weight: NonNegativeFloat = 0.0
    """Of the loss of what the expert sees after translation against before, both ways (CyCADA, ICML 2018)."""
    alpha: Fraction | None = None
    """Share of the guidance in the generators' objective, the rest weighs 1 - alpha; absent: terms are added."""
    start_step: NonNegativeInt = 0
    """Train so many steps without guidance first."""
    expert: str = "source_only"
    """Arm of the same experiment (source_only, oracle, few_labels, translated), trained first where it is missing; or a
    segmenter's run folder or checkpoint. `translated` learns from the translator without guidance."""

    @model_validator(mode="after")
    def _does_something(self) -> "GuidanceSettings":
        if max(self.task_weight, self.label_weight, self.consistency_weight) == 0:
            raise ValueError("set task_weight, label_weight or consistency_weight above 0, or leave guidance out")
        return self

    def arguments(self) -> dict[str, Any]:
        """What translate.guidance.Guidance is given beside the expert."""
        return self.model_dump(exclude={"expert"})


LearnsFrom = Literal["unpaired", "paired"]


class TranslatorTraining(Settings):
    """What every method of stage one is told about its training."""

    learns_from: ClassVar[LearnsFrom] = "unpaired"
    """Source and target frames that have nothing to do with each other, or labelled target frames alone."""

    steps: PositiveInt = 100_000
    batch: PositiveInt = 1
    height: PositiveInt = 286
    """Frames are brought to this height before cropping."""
    crop: Annotated[int, Field(ge=24, multiple_of=4)] = 256
    """Side of the square crops. The generators halve it twice; the discriminator sees no less than 24 pixels."""
    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    """Range of a random factor on `height`, drawn log-uniformly; a crop is never larger than its frame."""
    flip: bool = True
    """Mirror half of the crops."""
    initial: str | None = None
    """Begin with the weights of this translator (run folder or checkpoint) instead of random ones; "unguided" for the
    same experiment's translator without guidance, trained first where it is missing."""
    learning_rate: PositiveFloat = 2e-4
    decay_fraction: Fraction = 0.5
    """Last part of the steps in which the learning rate falls linearly; 100 of 200 epochs in the paper."""
    checkpoint_every: PositiveInt = 500
    preview_every: PositiveInt = 250

    @model_validator(mode="after")
    def _ordered_scale(self) -> "TranslatorTraining":
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale goes from {self.scale[0]:g} to {self.scale[1]:g}; the first must be the smaller")
        return self

    @property
    def guided_by(self) -> GuidanceSettings | None:
        """The guidance, of methods that can be guided."""
        return None

    @property
    def wants_perceptual_loss(self) -> bool:
        """Whether the method is to be handed a perceptual loss, if this machine has its weights."""
        return False

    def arguments(self) -> dict[str, Any]:
        """What the method's constructor is given: all settings but those of batches, run folder and other runs."""
        batches = {"batch", "height", "crop", "scale", "flip"}
        return self.model_dump(exclude={"method", "checkpoint_every", "preview_every", "initial"} | batches)

    def unguided(self) -> Self:
        """The same without guidance."""
        return self if self.initial != UNGUIDED else self.model_copy(update={"initial": None})


class CycleGANSettings(TranslatorTraining):
    """Zhu et al., ICCV 2017."""

    method: Literal["cyclegan"] = "cyclegan"
    generator: Literal["resnet6", "resnet9", "unet128", "unet256"] = "resnet9"
    discriminator: Literal["patch", "pixel"] = "patch"
    discriminator_layers: Annotated[int, Field(ge=1, le=6)] = 3
    """Halvings of the patch discriminator: 1 to 5 see patches of 16, 34, 70, 142, 286 pixels."""
    norm: Literal["instance", "batch"] = "instance"
    initialisation: Literal["normal", "xavier", "kaiming", "orthogonal"] = "normal"
    gan_loss: Literal["least_squares", "vanilla", "hinge"] = "least_squares"
    schedule: Literal["linear", "cosine", "step", "constant"] = "linear"
    """How the learning rate falls in the last `decay_fraction` of the steps."""
    generator_channels: PositiveInt = 64
    """Width of the generators' first layer; 64 in the paper, 16 trains on a CPU in minutes."""
    discriminator_channels: PositiveInt = 64
    antialias: bool = False
    """Blur before halving and after doubling, as CUT's ResNets do: no checkerboard, smoother pictures."""
    cycle_weight: PositiveFloat = 10.0
    """Weight of both cycle terms; lambda in eq. 3."""
    identity_weight: NonNegativeFloat = 0.5
    """Weight of the identity terms relative to `cycle_weight` (sec. 5.2); 0 leaves them out."""
    pool_size: NonNegativeInt = 50
    """Past translations that the discriminators are shown again (sec. 4); 0 shows new ones only."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of moving averages of the generators, which then translate; absent: no average."""
    guidance: GuidanceSettings | None = None
    """A segmentation loss on translated images; absent: none."""

    @model_validator(mode="after")
    def _crops_fit_the_networks(self) -> "CycleGANSettings":
        multiple = {"unet128": 128, "unet256": 256}.get(self.generator, 4)
        if self.crop % multiple:
            raise ValueError(f"crop is {self.crop}; {self.generator} takes multiples of {multiple}")
        least = 3 * 2**self.discriminator_layers
        if self.discriminator == "patch" and self.crop < least:
            raise ValueError(
                f"crop is {self.crop}; a discriminator of {self.discriminator_layers} layers needs {least} or more"
            )
        return self

    @model_validator(mode="after")
    def _antialias_suits_the_generator(self) -> "CycleGANSettings":
        if self.antialias and not self.generator.startswith("resnet"):
            raise ValueError(f"antialias is for resnet6 and resnet9; the generator is {self.generator}")
        return self

    @model_validator(mode="after")
    def _guidance_begins(self) -> "CycleGANSettings":
        if self.guidance is not None and self.guidance.start_step >= self.steps:
            raise ValueError(
                f"guidance.start_step is {self.guidance.start_step} and steps {self.steps}; set start_step below steps"
            )
        return self

    @property
    def guided_by(self) -> GuidanceSettings | None:
        return self.guidance

    def arguments(self) -> dict[str, Any]:
        """Without the guidance, which is made of an expert's checkpoint and handed over beside these."""
        return {name: value for name, value in super().arguments().items() if name != "guidance"}

    def unguided(self) -> Self:
        """The same without guidance."""
        return super().unguided().model_copy(update={"guidance": None})


class CUTSettings(TranslatorTraining):
    """Park et al., ECCV 2020: one direction, no second generator.

    FastCUT: contrast_weight = 10, contrast_identity = false, flip_equivariance = true.
    """

    method: Literal["cut"]
    generator: Literal["resnet6", "resnet9"] = "resnet9"
    discriminator: Literal["patch", "pixel"] = "patch"
    discriminator_layers: Annotated[int, Field(ge=1, le=6)] = 3
    """Halvings of the patch discriminator: 1 to 5 see patches of 16, 34, 70, 142, 286 pixels."""
    initialisation: Literal["normal", "xavier", "kaiming", "orthogonal"] = "xavier"
    gan_loss: Literal["least_squares", "vanilla", "hinge"] = "least_squares"
    schedule: Literal["linear", "cosine", "step", "constant"] = "linear"
    """How the learning rate falls in the last `decay_fraction` of the steps."""
    generator_channels: PositiveInt = 64
    discriminator_channels: PositiveInt = 64
    antialias: bool = True
    """Blur before halving and after doubling, as the published generators do; off, a step takes less time."""
    contrast_weight: PositiveFloat = 1.0
    """Weight of the patch-contrastive term; lambda_X in eq. 5."""
    contrast_identity: bool = True
    """The same term on target images, which ought to stay as they are; lambda_Y in eq. 5. Off in FastCUT."""
    flip_equivariance: bool = False
    """Translate mirrored images in half of the steps and contrast with the unmirrored ones; FastCUT's augmentation."""
    temperature: PositiveFloat = 0.07
    patches: Annotated[int, Field(ge=2)] = 256
    """Places drawn in each layer; each is contrasted with the others of its image."""
    projection_features: PositiveInt = 256
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of a moving average of the generator, which then translates; absent: no average."""

    @model_validator(mode="after")
    def _crops_fit_the_discriminator(self) -> "CUTSettings":
        least = 3 * 2**self.discriminator_layers
        if self.discriminator == "patch" and self.crop < least:
            raise ValueError(
                f"crop is {self.crop}; a discriminator of {self.discriminator_layers} layers needs {least} or more"
            )
        return self


class Pix2pixHDSettings(TranslatorTraining):
    """Wang et al., CVPR 2018: photos from label maps, trained on labelled target frames.

    The paper's 2048x1024: generator "local", crop [2048, 1024], height 1024, scales 3, global_steps and enhancer_steps.
    """

    learns_from: ClassVar[LearnsFrom] = "paired"

    method: Literal["pix2pixhd"]
    generator: Literal["global", "local"] = "global"
    """The global generator alone, or within enhancers, each of which doubles its resolution."""
    enhancers: PositiveInt = 1
    """Of the generator "local"."""
    global_steps: NonNegativeInt = 0
    """First steps of the generator "local", in which its global part learns alone, at its own resolution."""
    enhancer_steps: NonNegativeInt = 0
    """Steps after that, in which the enhancers learn and the global part is fixed; then all learn jointly."""
    height: PositiveInt = 512
    """Frames are brought to this height before cropping."""
    crop: tuple[PositiveInt, PositiveInt] = (1024, 512)
    """Width and height of the crops, or the side of square ones. The generator halves them `halvings` times, and once
    more for each enhancer."""
    generator_channels: PositiveInt = 64
    """Width of the global generator's first layer; an enhancer's is half. 8 or 16 trains on a CPU in minutes."""
    halvings: PositiveInt = 4
    """Of the global generator."""
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
    """Weight of the VGG-19 loss; it is off where there are no weights, and the run says so."""
    perceptual_weights: str = ""
    """torchvision's file of VGG-19 weights; empty: the one in torch's cache, if it is there. Never downloaded."""
    pool_size: NonNegativeInt = 0
    """Past photos that the discriminators are shown again; none in the paper."""
    edges: bool = True
    """Give the generator the borders of instances, or of labels where there are no instance maps."""
    instances: bool = True
    """Use the instance maps that lie beside label maps (Cityscapes' *_instanceIds.png)."""
    style_features: NonNegativeInt = 0
    """Numbers that describe how an instance looks, read off real images by an encoder; 3 in the paper, 0 for none."""
    style_channels: PositiveInt = 16
    style_halvings: PositiveInt = 4
    style_clusters: PositiveInt = 10
    """Looks of each class to choose from when translating (sec. 3.4)."""
    labels: PositiveInt = 19
    """19: train ids, and a channel for ignored pixels. 35: Cityscapes' labelIds, as in the authors' checkpoints."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of a moving average of the generator, which then translates; absent: no average."""

    @property
    def wants_perceptual_loss(self) -> bool:
        return self.perceptual_weight > 0

    @field_validator("crop", mode="before")
    @classmethod
    def _square(cls, crop: Any) -> Any:
        return (crop, crop) if isinstance(crop, int) else crop

    def arguments(self) -> dict[str, Any]:
        """Without what the batches and the VGG loss are made from."""
        arguments = super().arguments()
        for name in ("generator", "perceptual_weights", "instances"):
            del arguments[name]
        enhancers = self.enhancers if self.generator == "local" else 0
        return arguments | {"enhancers": enhancers, "ignore_channel": self.labels == 19}

    @model_validator(mode="after")
    def _crop_can_be_halved(self) -> Self:
        halvings = self.halvings + (self.enhancers if self.generator == "local" else 0)
        least = max(2**halvings, 2**self.style_halvings if self.style_features else 1)
        width, height = self.crop
        if width % least or height % least or min(width, height) < 2 * 2**halvings:
            raise ValueError(
                f"crop is {width}x{height}; with {halvings} halvings in all, both sides must divide by {least} and be "
                f"at least {2 * 2**halvings}. Change crop, halvings, enhancers or style_halvings"
            )
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        phases = self.global_steps + self.enhancer_steps
        if phases and self.generator == "global":
            raise ValueError('global_steps and enhancer_steps are phases of the generator "local"; set generator to it')
        if phases > self.steps:
            raise ValueError(
                f"global_steps {self.global_steps} and enhancer_steps {self.enhancer_steps} do not fit into steps "
                f"{self.steps}"
            )
        return self


class PublishedSettings(Settings):
    """Generators of a published checkpoint, as `sim2real checkpoint import` found them; used, never trained."""

    method: Literal["published"]
    generator: Literal["resnet6", "resnet9", "unet128", "unet256", "global"]
    """The last is pix2pixHD's, from images."""
    halvings: PositiveInt = 4
    """Of the generator "global"."""
    blocks: PositiveInt = 9
    """Of the generator "global"."""
    generator_channels: PositiveInt = 64
    norm: Literal["instance", "batch", "frame"] = "instance"
    """"frame" is batch normalisation by the statistics of each frame instead of those that were saved."""
    antialias: bool = False
    """Blurs before halving and after doubling, as CUT's generators have them."""
    directions: tuple[Literal["source_to_target", "target_to_source"], ...]

    def arguments(self) -> dict[str, Any]:
        """What translate.methods.published.Published is given."""
        return self.model_dump(exclude={"method"})


def _method(settings: Any) -> str:
    """The tag of the union below. A table without a method means CycleGAN."""
    if isinstance(settings, dict):
        return settings.get("method", "cyclegan")
    return getattr(settings, "method", "cyclegan")


AnyTranslatorSettings = Annotated[
    Annotated[CycleGANSettings, Tag("cyclegan")]
    | Annotated[CUTSettings, Tag("cut")]
    | Annotated[Pix2pixHDSettings, Tag("pix2pixhd")],
    Discriminator(_method),
]
"""Settings of one method; the key `method` says which, CycleGAN where it is left out."""

LoadableTranslatorSettings = Annotated[
    Annotated[PublishedSettings, Tag("published")] | Annotated[AnyTranslatorSettings, Tag("trained")],
    Discriminator(lambda settings: "published" if _method(settings) == "published" else "trained"),
]
"""What a translator's checkpoint may say it is; the methods that are trained, and generators that others have."""
