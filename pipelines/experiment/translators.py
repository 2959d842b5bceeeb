"""Settings of stage one: each method's own, as they stand beside it, and what belongs to batches and run folders.

Defaults are those of each method's paper, as its published code has them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, Union

from pydantic import Discriminator, Field, PositiveFloat, PositiveInt, Tag, field_validator, model_validator

from pipelines.declared import attribute_of, names_in, settings_class, settings_of
from pipelines.experiment.saving import Saving
from pipelines.settings import FilePath, model_of
from segment.settings import Later
from translate.choices import Direction, check_divides

METHODS = "translate.methods.METHODS"
ENCODING_GENERATORS = "translate.networks.ENCODING_GENERATORS"
UNGUIDED = "unguided"
"""Value of `initial`: the same experiment's translator without guidance, trained first."""

Guidance = model_of(settings_class("translate.guidance.GuidanceSettings"), "Guidance")
"""How an expert guides, as it stands beside the guidance."""

PACKAGED = "package"
"""Value of a student's `encoder` and `perceptual_weights`: ImageNet's, from an installed package."""

Training = model_of(settings_class("translate.methods.translator_training.TranslatorTrainingSettings"), "Training")
"""How a translator is trained, whatever the method, as it stands beside the methods."""


ARCHITECTURE = (
    "method",
    "generator",
    "generator_channels",
    "discriminator",
    "discriminator_channels",
    "discriminator_layers",
    "norm",
    "antialias",
    "antialias_discriminator",
    "projection_features",
    "skip_connections",
    "enhancers",
    "halvings",
    "blocks",
    "enhancer_blocks",
    "scales",
    "edges",
    "labels",
    "style_features",
    "style_channels",
    "style_halvings",
)
"""Settings of translators that decide which weights there are."""
ARCHITECTURE_OF = {"adain": ("encoder",)}
"""Those that do so in one method, by its key in METHODS, and in others have the same name and do not."""

INHERITED_WAYS = ("source_to_target",)
"""Where a method goes whose class does not say it: translators of layouts go one way."""


class GuidanceSettings(Guidance):
    """The guidance, and who guides."""

    expert: FilePath = "source_only"
    """Arm of the same experiment (source_only, oracle, few_labels, translated), trained first where it is missing; or a
    segmenter's run folder or checkpoint. `translated` learns from the translator without guidance."""


class TranslatorTraining(Training, Saving):
    """What every method of stage one is told about its training."""

    batch: PositiveInt = 1
    height: PositiveInt = 286
    """Frames are brought to this height before cropping."""
    crop: Annotated[int, Field(ge=24, multiple_of=4)] = 256
    """Side of the square crops. The generators halve it twice; the discriminator sees no less than 24 pixels."""
    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    """Range of a random factor on `height`, drawn log-uniformly; a crop is never larger than its frame."""
    flip: bool = True
    """Mirror half of the crops."""
    initial: FilePath | None = None
    """Begin with the weights of this translator (run folder or checkpoint) instead of random ones; "unguided" for the
    same experiment's translator without guidance, trained first where it is missing."""

    @model_validator(mode="after")
    def _ordered_scale(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale goes from {self.scale[0]:g} to {self.scale[1]:g}; the first must be the smaller")
        return self

    @model_validator(mode="after")
    def _crops_suit_the_networks(self) -> Self:
        width, height = (self.crop, self.crop) if isinstance(self.crop, int) else self.crop
        self.declared().check_crop(width, height)
        return self

    def check_crop_fits(self) -> None:
        """Raise ValueError where no frame is ever as high as a crop, which would show it enlarged and blurred, or where
        the scale changes nothing, since frames are never brought to less than a crop.

        For whoever is about to train: a checkpoint that was trained so is read as ever.
        """
        crop = self.crop if isinstance(self.crop, int) else self.crop[1]
        largest = round(self.height * self.scale[1])
        if crop > largest:
            raise ValueError(
                f"crop is {crop} high and frames at most {largest} (height {self.height} times scale "
                f"{self.scale[1]:g}), so that every crop would be an enlarged, blurred frame; lower crop, or enlarge "
                "height"
            )
        if crop == largest and self.scale[0] < self.scale[1]:
            raise ValueError(
                f"scale changes nothing: no frame is brought to less than crop, which is {crop}, and none to more than "
                f"{largest} (height {self.height} times scale {self.scale[1]:g}); enlarge height, lower crop, or leave "
                "scale out"
            )

    @property
    def learns_from(self) -> str:
        """What a batch of the method holds; see `learns_from` in translate/methods/translator_training.py."""
        return attribute_of(METHODS, self.method, "learns_from")

    @property
    def guided_by(self) -> GuidanceSettings | None:
        """The guidance, of methods that can be guided."""
        return None

    @property
    def guides(self) -> tuple[str, ...]:
        """The segmenters that it learns by, as they are named: the expert, and the encoder that finds real patches."""
        return () if self.guided_by is None else (self.guided_by.expert,)

    @property
    def wants_perceptual_loss(self) -> bool:
        """Whether the method is to be handed a perceptual loss, if this machine has its weights."""
        return False

    @property
    def wants_style_encoder(self) -> bool:
        """Whether the method is to be handed an encoder that others have trained."""
        return False

    def unguided(self) -> Self:
        """These settings without guidance."""
        return self if self.initial != UNGUIDED else self.model_copy(update={"initial": None})


class GuidedTraining(TranslatorTraining):
    """What a method is told that an expert may guide."""

    guidance: GuidanceSettings | None = None
    """An expert's losses on translated frames; absent: none."""

    @model_validator(mode="after")
    def _guidance_begins(self) -> Self:
        if self.guidance is not None and self.guidance.start_step >= self.steps:
            raise ValueError(
                f"guidance.start_step is {self.guidance.start_step} and steps {self.steps}; set start_step below steps"
            )
        return self

    @property
    def guided_by(self) -> GuidanceSettings | None:
        return self.guidance

    def unguided(self) -> Self:
        """These settings without guidance."""
        return super().unguided().model_copy(update={"guidance": None})


def _model(name: str, base: type[TranslatorTraining] = TranslatorTraining) -> type[TranslatorTraining]:
    return model_of(settings_of(METHODS, name), name, base, method=(Literal[name], ...))


class CycleGANSettings(_model("cyclegan", GuidedTraining)):
    """CycleGAN's, which is the method where none is named, and who guides it."""

    method: Literal["cyclegan"] = "cyclegan"


class Pix2pixHDSettings(_model("pix2pixhd")):
    """pix2pixHD's, which learns from crops of another shape, and from files that lie beside the frames or elsewhere."""

    height: PositiveInt = 512
    """Frames are brought to this height before cropping."""
    crop: tuple[PositiveInt, PositiveInt] = (1024, 512)
    """Width and height of the crops, or the side of square ones. The generator halves them `halvings` times, and once
    more for each enhancer."""
    perceptual_weights: FilePath = ""
    """torchvision's file of VGG-19 weights; empty: the one in torch's cache, if it is there. Never downloaded.
    "package": instead of VGG-19 the packaged EfficientNet-Lite0, with which the loss is not that of the paper."""
    instances: bool = True
    """Use the instance maps that lie beside label maps (Cityscapes' *_instanceIds.png)."""

    @property
    def wants_perceptual_loss(self) -> bool:
        return self.perceptual_weight > 0

    @field_validator("crop", mode="before")
    @classmethod
    def _square(cls, crop: Any) -> Any:
        return (crop, crop) if isinstance(crop, int) else crop


class AdaINSettings(_model("adain")):
    """AdaIN's, which learns from larger batches of larger frames, with an encoder's weights from elsewhere."""

    batch: PositiveInt = 8
    height: PositiveInt = 512
    """Frames are brought to this height before cropping."""
    encoder_weights: FilePath = ""
    """File of the encoder's weights. Empty: of "vgg19" torchvision's in torch's cache, if it is there; those of
    "efficientnet_lite0" come with a package. Never downloaded."""

    @property
    def wants_style_encoder(self) -> bool:
        return True


class StudentSettings(_model("student", GuidedTraining)):
    """A student's, and whom it learns from: a finished translator's frames, pair by pair."""

    method: Literal["student"] = "student"
    teacher: FilePath = ""
    """What made the frames to learn from: a translator's run folder or checkpoint, an earlier variant, or a folder of
    translated frames of the source's names, ours or another tool's. Left out in [student]: the experiment's own."""
    teacher_direction: Annotated[Direction, Later()] = "source_to_target"
    """Which way it goes, of a teacher that is a translator: "target_to_source" of one that was trained with source and
    target the other way round, so that a student brings real frames to a simulator's looks."""
    height: PositiveInt = 512
    """Frames are brought to this height before cropping."""
    crop: Annotated[int, Field(ge=24, multiple_of=4)] = 512
    encoder: FilePath = "source_only"
    """By whose features real patches are found: an arm of the same experiment, trained first where it is missing; a
    segmenter's run folder or checkpoint; "package" for EfficientNet-Lite0 as an installed package has it; "" learns
    from the teacher's patches alone."""
    perceptual_weights: Annotated[FilePath, Later()] = PACKAGED
    """What sees the student's image and the teacher's where `perceptual_weight` is not 0: "package" for the packaged
    EfficientNet-Lite0, torchvision's file of VGG-19 weights, or "" for the one in torch's cache, if it is there. Never
    downloaded."""

    @model_validator(mode="after")
    def _guidance_is_of_source_frames(self) -> Self:
        if self.guidance is not None and self.guidance.task_weight > 0:
            raise ValueError(
                "guidance.task_weight is for translators that also go from target to source, which a student does not; "
                "set label_weight or consistency_weight"
            )
        return self

    @model_validator(mode="after")
    def _encoder_is_not_of_its_own_making(self) -> Self:
        if self.encoder == "translated":
            raise ValueError(
                'encoder is "translated", which learns from the student\'s own frames; name source_only, oracle, '
                "few_labels or a run folder"
            )
        return self

    @model_validator(mode="after")
    def _patches_fit_into_frames(self) -> Self:
        if self.finds_real_patches and self.patch > self.height:
            raise ValueError(
                f"patch is {self.patch} and height {self.height}, so that no target frame has room for a patch; lower "
                "patch, or enlarge height"
            )
        return self

    @model_validator(mode="after")
    def _features_come_of_an_encoder(self) -> Self:
        encoding = names_in(ENCODING_GENERATORS)
        if self.feature_weight > 0 and self.generator not in encoding:
            raise ValueError(
                f"feature_weight is {self.feature_weight:g} and generator {self.generator}, which has no encoder to "
                f"compare features of; expected one of {', '.join(encoding)}, or feature_weight 0"
            )
        return self

    @property
    def wants_perceptual_loss(self) -> bool:
        return self.perceptual_weight > 0

    @property
    def guides(self) -> tuple[str, ...]:
        return (*super().guides, self.encoder) if self.finds_real_patches else super().guides

    @property
    def finds_real_patches(self) -> bool:
        """Whether real patches are a second kind of examples."""
        return self.encoder != "" and self.adversarial_weight > 0


OF_THEIR_OWN = {
    "adain": AdaINSettings,
    "cyclegan": CycleGANSettings,
    "pix2pixhd": Pix2pixHDSettings,
    "student": StudentSettings,
}
"""Methods that are told more than their dataclass and the words above hold."""

TRAININGS: dict[str, type[TranslatorTraining]] = {
    name: OF_THEIR_OWN[name] if name in OF_THEIR_OWN else _model(name) for name in names_in(METHODS)
}
"""A model for each method."""

PublishedSettings = model_of(
    settings_class("translate.methods.published.PublishedSettings"),
    "PublishedSettings",
    method=(Literal["published"], ...),
)
"""Generators of a published checkpoint."""


def _method(settings: Any) -> str:
    """The tag of the union below. A table without a method means CycleGAN."""
    if isinstance(settings, dict):
        return settings.get("method", "cyclegan")
    return getattr(settings, "method", "cyclegan")


AnyTranslatorSettings = Annotated[
    Union[tuple(Annotated[model, Tag(name)] for name, model in TRAININGS.items())],  # noqa: UP007
    Discriminator(_method),
]
"""Settings of one method; the key `method` says which, CycleGAN where it is left out."""

LoadableTranslatorSettings = Annotated[
    Annotated[PublishedSettings, Tag("published")] | Annotated[AnyTranslatorSettings, Tag("trained")],
    Discriminator(lambda settings: "published" if _method(settings) == "published" else "trained"),
]
"""What a translator's checkpoint may say it is; the methods that are trained, and generators that others have."""


def other_architecture(settings: TranslatorTraining, there: Mapping[str, Any]) -> str | None:
    """The first setting by which a translator is another network than one with the settings `there`; None where the
    weights of one fit the other.

    Args:
        settings: Of the one.
        there: Of the other, as a record keeps them. What they do not speak of came later, and differs in nothing.
    """
    keys = (*ARCHITECTURE, *ARCHITECTURE_OF.get(settings.method, ()))
    here = settings.model_dump(mode="json")
    return next((key for key in keys if key in here and key in there and here[key] != there[key]), None)


def cannot_teach(student: StudentSettings, teacher: Mapping[str, Any]) -> str | None:
    """What of a translator keeps it from being a student's teacher, in words; None where nothing does.

    Args:
        student: Of the student.
        teacher: Of the translator, as a record keeps them.
    """
    method, wanted = _method(teacher), student.teacher_direction
    ways = teacher.get("directions") or attribute_of(METHODS, method, "directions") or INHERITED_WAYS
    if wanted not in ways:
        return f"it goes {' and '.join(ways)}, and teacher_direction is {wanted}; leave that out, or name another"
    if student.feature_weight == 0:
        return None
    generator, encoding = teacher.get("generator", method), names_in(ENCODING_GENERATORS)
    if generator not in encoding:
        return (
            f"its generator is {generator}, which has no encoder to compare features of, and feature_weight is "
            f"{student.feature_weight:g}; set that to 0, or name one with {' or '.join(encoding)}"
        )
    try:
        check_divides(generator, student.crop, student.crop)
    except ValueError as error:
        return f"its features are imitated (feature_weight), and {error}"
    return None
