"""The arms of an experiment: frames in their shares, how they are learnt from, what is started from. The one list.

The reference arms never adapt: source-only is what labels of the source alone give, the oracle what labels of the
target give, and the gap between both is the same whatever is tried to close it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.declared import attribute_of
from pipelines.errors import UserError
from pipelines.experiment.segmenters import METHODS, SegmenterSettings

Share = Literal["translated", "source", "target"]
SHARES: tuple[Share, ...] = ("translated", "source", "target")


@dataclass(frozen=True)
class Arm:
    """One segmenter of the experiment."""

    meaning: str
    """What it learns from, in words."""
    learns_from: Share | None = None
    """The one share of its frames; None: the experiment's mixture (`segmenter.shares`)."""
    adapts: bool = False
    """Whether `segmenter.adaptation`, `segmenter.initial` and `segmenter.teachers` are for it."""
    sees_all_labels: bool = False
    """Whether it learns from all labelled target frames, or from the few of `labelled_target`."""
    folder: str = ""
    """Name of its run folder, where it is not the arm's."""
    belongs_to: Literal["data", "translator", "variant"] = "data"
    """What it is shared by: all variants on the same data; those with the same translator and labels; none."""

    def shares(self, segmenter: SegmenterSettings) -> dict[str, float]:
        """How much of its batches is translated, source and target frames; the three add up to 1."""
        if self.learns_from is None:
            return segmenter.shares.model_dump()
        return {share: float(share == self.learns_from) for share in SHARES}

    def settings(self, segmenter: SegmenterSettings) -> SegmenterSettings:
        """The settings by which it is trained: the experiment's, without adaptation where it does not adapt."""
        if self.adapts:
            return segmenter
        return segmenter.model_copy(update={"adaptation": None, "initial": None, "teachers": ()})


ARMS: dict[str, Arm] = {
    "source_only": Arm("synthetic frames as they are", "source"),
    "translated": Arm(
        "the experiment's mixture, adapted if it says so", adapts=True, folder="translated_net", belongs_to="variant"
    ),
    "oracle": Arm("labelled real frames", "target", sees_all_labels=True),
    "few_labels": Arm("the few labelled real frames of labelled_target", "target", belongs_to="translator"),
}
"""By the names that commands and settings use."""

EXPERT, ENCODER, INITIAL, TEACHERS = (
    "translator.guidance.expert", "encoder", "segmenter.initial", "segmenter.teachers",
)  # fmt: skip
"""The settings that may name one of them; an encoder is that of [student], or of a student as [translator]."""


def arm_named(setting: str, name: str) -> str | None:
    """The arm that a setting names; None for a segmenter from elsewhere, by its path.

    Raises:
        UserError: It is neither an arm nor a path.
    """
    if name in ARMS:
        return name
    if not Path(name).exists():
        raise UserError(
            f"{setting} is {name!r}; expected one of {', '.join(ARMS)}, or the run folder or checkpoint of a segmenter"
        )
    return None


REFERENCES = ("source_only", "oracle")
"""The arms that no setting of adaptation and no variant changes; the gap is the one between them."""
COMPARED = ("source_only", "translated", "oracle")
"""The arms of a comparison: the gap's lower end, what is to close it, its upper end."""


def titles(segmenter: Mapping[str, Any]) -> dict[str, str]:
    """What each compared arm is called where a heading or a sentence begins.

    Args:
        segmenter: The segmenter's settings as a record keeps them (`SegmenterSettings.model_dump`).
    """
    return {arm: name[:1].upper() + name[1:] for arm, name in names(segmenter).items()}


def names(segmenter: Mapping[str, Any]) -> dict[str, str]:
    """What each compared arm is called within a sentence: "translated + DACS"; a method's name keeps its capitals.

    Args:
        segmenter: The segmenter's settings as a record keeps them (`SegmenterSettings.model_dump`).
    """
    return {"source_only": "source-only", "translated": _adapted_name(segmenter), "oracle": "oracle"}


def what_closes_the_gap(segmenter: Mapping[str, Any]) -> str:
    """What closes the gap, as a sentence begins: "Translation", "Adaptation by DACS", or both."""
    method = adaptation_title(segmenter)
    if method is None:
        return "Translation" if translates(segmenter) else "The mixture"
    return f"Translation with adaptation by {method}" if translates(segmenter) else f"Adaptation by {method}"


def adaptation_title(segmenter: Mapping[str, Any]) -> str | None:
    """The paper's own name of the method that adapts, and what is added to it; None without adaptation."""
    adaptation = segmenter.get("adaptation")
    if not adaptation:
        return None
    title = attribute_of(METHODS, adaptation["method"], "title")
    return f"{title} + feature norm" if adaptation.get("feature_norm") else title


def learns_from_labels(method: str) -> bool:
    """Whether a method that adapts learns from labelled target frames too (the few of `labelled_target`)."""
    return attribute_of(METHODS, method, "learns_from") == "semi_supervised"


def adapted_to(segmenter: Mapping[str, Any]) -> str:
    """What of the target an adapted arm learns from, as a record of settings says: "target frames without …"."""
    if learns_from_labels(segmenter["adaptation"]["method"]):
        return "target frames, those of labelled_target with their labels"
    return "target frames without their labels"


def _adapted_name(segmenter: Mapping[str, Any]) -> str:
    method = adaptation_title(segmenter)
    if method is None:
        return "translated" if translates(segmenter) else "mixed"
    return f"translated + {method}" if translates(segmenter) else method


def translates(segmenter: Mapping[str, Any]) -> bool:
    """Whether the experiment's mixture holds translated frames."""
    return segmenter.get("shares", {}).get("translated", 1.0) > 0


def few_labels_name(labels: int) -> str:
    """What the network that learns from so many labelled target frames alone is called: "few_labels_20"."""
    return f"few_labels_{labels or 'all'}"
