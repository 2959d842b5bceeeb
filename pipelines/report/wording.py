"""The findings of a study in plain words, the same in the terminal and on the page.

A reader takes away one sentence, so it is chosen with care: it says what was measured, and when translation does not
help, or the seeds disagree, or there is no gap to close, it says that and nothing kinder.
"""

import math

from pipelines.experiment.arms import COMPARED, adaptation_title, adapted_to
from pipelines.report.figures import amount, change, percent, score
from pipelines.report.study import Study, average

REAL_TIME_FRAMES_PER_SECOND = 30
"""What a common dash camera delivers; a network below it cannot look at every frame."""


def arm_meanings(study: Study) -> dict[str, str]:
    """What each arm learns from; the translated one by the shares of its mixture, where the settings have them."""
    segmenter = study.settings.get("segmenter", {})
    shares, method = segmenter.get("shares", {"translated": 1.0}), adaptation_title(segmenter)
    kinds = {"translated": "translated", "source": "as they are", "target": "labelled real ones"}
    mixed = [f"{percent(shares[name])} {kind}" for name, kind in kinds.items() if shares.get(name)]
    pure = mixed == ["100 % translated"]
    learns = "the same frames, translated" if pure else f"frames drawn {', '.join(mixed)}"
    if mixed == ["100 % as they are"]:
        learns = "the same frames"
    return {
        "source_only": "synthetic frames as they are",
        "translated": learns + (f", adapted to {adapted_to(segmenter)} by {method}" if method else ""),
        "oracle": "labelled real frames",
    }


def compared_means(study: Study) -> tuple[float, float, float]:
    """Mean IoU of source-only, translated and oracle over the seeds that all three have; NaN without such a seed."""
    seeds = study.complete_seeds()
    return tuple(average([study.result(arm, seed).mean_iou for seed in seeds]) for arm in COMPARED)


def headline(study: Study) -> str:
    """One sentence: how much of the gap was closed, by what, or why that cannot be said."""
    source_only, translated, _ = compared_means(study)
    gap, tried = study.gap_mean(), study.what_closes_the_gap()
    where = study.validation
    if not study.complete_seeds():
        return f"No seed has all three arms on {where}, so the gap closed cannot be stated."
    if not math.isfinite(translated - source_only):
        return f"An arm has no score on {where}, so the gap closed cannot be stated."
    if gap is None:
        verdict = f"{tried} {'helped' if translated > source_only else 'did not help'}"
        became = f"{score(source_only)} became {score(translated)} mIoU"
        if not study.starts_alike():
            return f"On {where} {became}, but not all arms start alike, so the gap closed is not stated."
        return f"There is no gap to close on {where}. {verdict}: {became}."
    if translated <= source_only:
        return f"{tried} did not help on {where}: {score(source_only)} became {score(translated)} mIoU."
    if gap > 1:
        return f"{tried} closed the whole gap on {where} and passed the oracle ({percent(gap)})."
    return f"{tried} closed {percent(gap)} of the gap on {where}."


def findings(study: Study) -> list[str]:
    """The sentences under the headline: the scores, the spread over seeds and frames, the speed."""
    sentences = [_scores(study), _seeds(study), _frames(study), speed(study)]
    return [sentence for sentence in sentences if sentence]


def gap_in_words(study: Study) -> str:
    """What the figure means, or why it is undefined."""
    means = compared_means(study)
    source_only, _, oracle = means
    name = study.names()["translated"]
    if not study.starts_alike():
        return f"The gap is undefined: it compares nets of the same start. {starts_in_words(study)}"
    if study.complete_seeds() and not all(map(math.isfinite, means)):
        return "The gap is undefined: an arm has no score."
    if study.gap_mean() is None and study.complete_seeds():
        return (
            f"The gap is undefined: the oracle ({score(oracle)}) does not score above source-only "
            f"({score(source_only)}), so there is nothing to close."
        )
    return f"Gap closed = ({name} − source-only) / (oracle − source-only), in mean IoU; 100 % is the whole gap."


def budget_in_words(study: Study) -> str:
    """What all arms share, and what an arm that goes on from a trained network had beside it."""
    same = f"All arms train the same network under the same budget and seeds and are scored on {study.validation}."
    initial = study.settings.get("segmenter", {}).get("initial")
    if not initial:
        return same
    return f"{same} But {study.names()['translated']} goes on from {initial}, whose training adds to its budget."


def starts_in_words(study: Study) -> str:
    """What the arms' networks began from, as a sentence; "" where the record does not say so."""
    starts = study.starts()
    if study.starts_alike():
        start = next(iter(starts.values()))
        return f"Every arm starts from {start}." if start else ""
    told = "; ".join(f"{study.names()[arm]} from {start or 'what is not known'}" for arm, start in starts.items())
    return f"What the arms start from: {told}."


def speed(study: Study) -> str:
    """How fast the network is and on what, and whether that keeps up with a camera."""
    network = study.network
    if not math.isfinite(network.frames_per_second):
        return "The speed of the network was not measured."
    verdict = "keeps up with" if network.frames_per_second >= REAL_TIME_FRAMES_PER_SECOND else "is slower than"
    return (
        f"{capitalised(network.name)} runs at {amount(network.frames_per_second)} frames/s at {network.input_size} on "
        f"{network.device}, which {verdict} a camera of {REAL_TIME_FRAMES_PER_SECOND} frames/s."
    )


def capitalised(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def _scores(study: Study) -> str:
    source_only, translated, oracle = compared_means(study)
    if not study.complete_seeds():
        missing = ", ".join(study.names()[arm] for arm in COMPARED if not study.of(arm))
        return f"Without results: {missing}." if missing else ""
    seeds = ", ".join(map(str, study.complete_seeds()))
    name = study.names()["translated"]
    average_of = f"mean of seeds {seeds}" if len(study.complete_seeds()) > 1 else f"seed {seeds}"
    return (
        f"Mean IoU: source-only {score(source_only)}, {name} {score(translated)} "
        f"({change(translated - source_only)}), oracle {score(oracle)}; {average_of}."
    )


def _seeds(study: Study) -> str:
    seeds = study.complete_seeds()
    gains = [study.result("translated", seed).mean_iou - study.result("source_only", seed).mean_iou for seed in seeds]
    if not seeds or not all(map(math.isfinite, gains)):
        return ""
    if len(seeds) == 1:
        return "This is a single seed: how much of the difference is luck of the seed is not known."
    better, name = sum(gain > 0 for gain in gains), study.names()["translated"]
    if 0 < better < len(seeds):
        return f"The seeds disagree: {name} is better in {better} of {len(seeds)}, so the effect is not settled."
    agreeing = "Both" if len(seeds) == 2 else f"All {len(seeds)}"
    return f"{agreeing} seeds agree that {name} is {'better' if better else 'not better'} than source-only."


def _frames(study: Study) -> str:
    improved, compared = study.frames_improved()
    name = study.titles()["translated"]
    return f"{name} scores higher than source-only on {improved} of {compared} frames." if compared else ""
