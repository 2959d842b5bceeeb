"""A second opinion on a network's features: another classifier of them, for methods that compare two.

Where two classifiers that learnt the same labels disagree, features fit neither: Saito et al., CVPR 2018
(arXiv:1712.02560), and all that compares two views since. Any network gets one, and stays what it is without it.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from segment.networks.segmenter import Segmenter


class SecondClassifier(nn.Module):
    """Takes the features that a network's own classifier takes, and says as that one does what they are.

    It is built like the network's own, with weights drawn anew. Of a network that joins what its classifier says with
    other maps (LR-ASPP's details, several scales) it sees what that classifier sees, and no more.
    """

    def __init__(self, network: Segmenter) -> None:
        """Copy the classifier of `network`, which is not kept, and draw its weights from torch's global generator."""
        super().__init__()
        self.classifier = copy.deepcopy(network.classifying_module())
        draw_anew(self.classifier)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, K, h', w') of features (B, C, h, w), at whatever size the network's classifier gives them."""
        return self.classifier(features)


@torch.no_grad()
def draw_anew(module: nn.Module) -> None:
    """New weights and biases as large as the ones that are there, whatever recipe those were drawn by.

    Each tensor's values come from a normal distribution around zero with the root mean square of the old ones.
    Normalisation is left alone: its scales and shifts start alike in all copies, and its statistics may be frozen.
    """
    for part in module.modules():
        if not isinstance(part, _BatchNorm):
            for parameter in part.parameters(recurse=False):
                parameter.copy_(torch.randn_like(parameter) * parameter.square().mean().sqrt())


def classifying_weights(classifier: nn.Module) -> Tensor:
    """All its trained weights and biases in one row, (N,), with gradient; of normalisation none.

    The scales of normalisation all begin at 1: two classifiers would be told alike by them that see different things.
    """
    parts = [part for part in classifier.modules() if not isinstance(part, _BatchNorm)]
    parameters = [parameter for part in parts for parameter in part.parameters(recurse=False)]
    return torch.cat([parameter.flatten() for parameter in parameters if parameter.requires_grad])
