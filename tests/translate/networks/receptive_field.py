"""How many pixels one output value sees, measured by which of them receive a gradient."""

import torch
from torch import nn


def receptive_field(network: nn.Module, side: int, outputs: int = 1) -> int:
    """The widest support among `outputs` neighbouring output columns around the middle of a `side` x `side` image.

    Norms and tanh are taken out (a norm sees the whole image, a tanh of these sums has no gradient left), and weights
    made positive, so that no gradient cancels.
    """
    network = network.double()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d | nn.Tanh):
                setattr(parent, name, nn.Identity())
    for parameter in network.parameters():
        nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.ndim == 4 else 0)
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    output = network(image)
    middle = output.shape[-1] // 2
    fields = []
    for column in range(middle, middle + outputs):
        (gradient,) = torch.autograd.grad(output[0, 0, middle, column], image, retain_graph=True)
        columns = gradient[0].abs().sum(dim=(0, 1)).nonzero()
        assert columns.min() > 0 and columns.max() < side - 1, "the field is cut by the border: use a larger image"
        fields.append(int(columns.max() - columns.min()) + 1)
    return max(fields)
