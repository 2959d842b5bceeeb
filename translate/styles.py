"""Looks to choose from: what instances of each class looked like in training, in a few clusters.

Wang et al., CVPR 2018 (arXiv:1711.11585), sec. 3.4: K-means on the encoder's features, per class. The authors run it
over the whole training set afterwards; here the last few hundred instances of each class are remembered in training, so
that a checkpoint holds its clusters without another stage.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segment.peers import ALONE, Peers
from translate.layouts import Regions

ITERATIONS = 20


def k_means(points: Tensor, clusters: int) -> Tensor:
    """Centres of clusters of points; the same for the same points.

    Lloyd's algorithm from a spread-out start: the point nearest to the mean, then again and again the point farthest
    from all chosen ones.

    Args:
        points: float (N, F), N at least 1.
        clusters: At most so many centres; fewer where there are fewer distinct points.

    Returns:
        (K, F).
    """
    distances = (points - points.mean(0)).square().sum(1)
    chosen = [int(distances.argmin())]
    nearest = (points - points[chosen[0]]).square().sum(1)
    while len(chosen) < clusters and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
    centres = points[chosen].clone()
    for _ in range(ITERATIONS):
        member = (points[:, None] - centres).square().sum(2).argmin(1)
        for number in range(len(centres)):
            own = points[member == number]
            if len(own):
                centres[number] = own.mean(0)
    return centres


class StyleMemory(nn.Module):
    """The styles of the last instances of each class, and the clusters they form; all of it buffers.

    Args:
        classes: How many.
        features: Numbers per style.
        clusters: Of each class; 10 in the paper's code.
        capacity: Instances remembered of each class.
    """

    remembered: Tensor
    seen: Tensor
    centres: Tensor
    found: Tensor
    peers: Peers = ALONE
    """The processes whose instances are remembered together."""

    def __init__(self, classes: int, features: int, clusters: int = 10, capacity: int = 256) -> None:
        super().__init__()
        if min(clusters, capacity) < 1:
            raise ValueError(f"A style memory has at least 1 cluster and 1 place, not {clusters} and {capacity}.")
        self.register_buffer("remembered", torch.zeros(classes, capacity, features))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.int64))
        self.register_buffer("centres", torch.zeros(classes, clusters, features))
        self.register_buffer("found", torch.zeros(classes, dtype=torch.int64))  # centres of each class that are in use

    @torch.no_grad()
    def remember(self, styles: Tensor, labels: Tensor) -> None:
        """Take in the styles (R, F) of instances of the classes (R,) of all processes; the oldest are forgotten."""
        styles, labels = self.peers.gathered(styles), self.peers.gathered(labels)
        capacity = self.remembered.shape[1]
        seen = self.seen.tolist()
        for style, label in zip(styles.to(self.remembered), labels.tolist(), strict=True):
            self.remembered[label, seen[label] % capacity] = style
            seen[label] += 1
        self.seen.copy_(torch.tensor(seen))

    @torch.no_grad()
    def form_clusters(self) -> None:
        """K-means on what is remembered, class by class; a class that was never seen keeps the style of zeros."""
        _, capacity, _ = self.remembered.shape
        # On the host: a few hundred points are nothing, and every device gets the same centres.
        self.adopt(
            {
                label: k_means(self.remembered[label, : min(seen, capacity)].cpu(), self.centres.shape[1])
                for label, seen in enumerate(self.seen.tolist())
                if seen
            }
        )

    @torch.no_grad()
    def adopt(self, clusters: Mapping[int, Tensor]) -> None:
        """Take over centres (K, F) by class that were formed elsewhere; K is at most the number of clusters here."""
        for label, centres in clusters.items():
            self.centres[label, : len(centres)] = centres.to(self.centres)
            self.found[label] = len(centres)

    def draw(self, labels: Tensor, keys: list[int]) -> Tensor:
        """A cluster's centre for each instance: classes (R,) to styles (R, F); zeros for classes never seen.

        Args:
            labels: int64 (R,).
            keys: One per instance; the same key draws the same cluster of a class.
        """
        styles = self.centres.new_zeros(len(keys), self.centres.shape[2])
        found = self.found.tolist()
        for place, (label, key) in enumerate(zip(labels.tolist(), keys, strict=True)):
            if found[label]:
                drawn = torch.randint(found[label], (), generator=torch.Generator().manual_seed(key))
                styles[place] = self.centres[label, int(drawn)]
        return styles


def style_keys(things: Regions, indices: Tensor, seed: int) -> list[int]:
    """One number per region from the seed, its image's whole layout, its class and its instance.

    Equal layouts get equal numbers in whatever batch they come; other layouts others, so that a class does not look the
    same in every frame.

    Args:
        things: The regions of a batch.
        indices: int64 (B, H, W), the layouts they are of.
        seed: Gives other numbers throughout.
    """
    places = torch.arange(indices[0].numel(), device=indices.device) % 8191 + 1
    layouts = ((indices.flatten(1) + 1) * places).sum(1).tolist()
    owners = zip(things.image.tolist(), things.label.tolist(), things.instance.tolist(), strict=True)
    return [_mixed(seed, layouts[image], label, instance) for image, label, instance in owners]


def _mixed(*numbers: int) -> int:
    """63 bits that depend on every number and their order; the multiplier is that of Steele et al.'s SplitMix64."""
    mixed = 0
    for number in numbers:
        mixed = ((mixed ^ number) * 0xBF58476D1CE4E5B9 + 1) % 2**64
        mixed ^= mixed >> 31
    return mixed % 2**63
