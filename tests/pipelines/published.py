"""What the authors' checkpoints look like and what their networks compute, written down without our networks.

Names and shapes are those of the published files, one line per layer; the forward passes are plain calls of torch on
such a state. So a mistake in our networks, or in how they are filled, cannot hide in the test that looks for it.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch.nn import functional


def drawn(shapes, seed=0):
    """A state dict with numbers in it, as torch.save finds it in a module: ordered, with `_metadata`."""
    numbers = torch.Generator().manual_seed(seed)
    state = OrderedDict()
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif name.endswith("filt"):
            state[name] = blur(shape)
        elif name.endswith("running_var"):
            state[name] = 0.5 + torch.rand(shape, generator=numbers)
        else:
            state[name] = 0.1 * torch.randn(shape, generator=numbers)
    state._metadata = OrderedDict({"": {"version": 1}, "model": {"version": 1}})
    return state


def blur(shape):
    """The fixed filters of antialiased networks: binomial, of size 3 for halving and 4 for doubling."""
    line = torch.tensor({3: [1.0, 2.0, 1.0], 4: [1.0, 3.0, 3.0, 1.0]}[shape[-1]])
    kernel = torch.outer(line, line) / line.sum() ** 2
    return (kernel * (4 if shape[-1] == 4 else 1)).repeat(shape[0], 1, 1, 1)


def convolution(name, outs, ins, size, bias=True):
    return {f"{name}.weight": (outs, ins, size, size)} | ({f"{name}.bias": (outs,)} if bias else {})


def batch_norm(name, channels):
    affine = {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    return affine | statistics(name, channels)


def statistics(name, channels):
    """All that an instance norm of 2017 kept, and what a batch norm has beside its weights."""
    counted = {f"{name}.running_mean": (channels,), f"{name}.running_var": (channels,)}
    return counted | {f"{name}.num_batches_tracked": ()}


def resnet(width=4, blocks=9, norm="instance", dropout=False, stale=False, ins=3, outs=3):
    """CycleGAN's generator: model.1, 4, 7, the blocks from 10 on, 19, 22 and 26 for nine of them."""

    def norms(name, channels):
        return batch_norm(name, channels) if norm == "batch" else statistics(name, channels) if stale else {}

    bias = norm == "instance"
    second = 6 if dropout else 5
    shapes = convolution("model.1", width, ins, 7, bias) | norms("model.2", width)
    shapes |= convolution("model.4", 2 * width, width, 3, bias) | norms("model.5", 2 * width)
    shapes |= convolution("model.7", 4 * width, 2 * width, 3, bias) | norms("model.8", 4 * width)
    for block in range(10, 10 + blocks):
        for place in (1, second):
            shapes |= convolution(f"model.{block}.conv_block.{place}", 4 * width, 4 * width, 3, bias)
            shapes |= norms(f"model.{block}.conv_block.{place + 1}", 4 * width)
    up = 10 + blocks
    for place, ins in ((up, 4 * width), (up + 3, 2 * width)):
        shapes |= {f"model.{place}.weight": (ins, ins // 2, 3, 3)}
        shapes |= ({f"model.{place}.bias": (ins // 2,)} if bias else {}) | norms(f"model.{place + 1}", ins // 2)
    return shapes | convolution(f"model.{up + 7}", outs, width, 7)


def antialiased_resnet(width=4, blocks=9, down=True, up=True):
    """CUT's generator: filters at 7 and 11, the blocks from 12 on, filters again at 21 and 25, then 30.

    Without `down` or `up`, as its options --no_antialias and --no_antialias_up make it: no filters there.
    """
    shapes, place = convolution("model.1", width, 3, 7), 4
    for channels in (width, 2 * width):
        shapes |= convolution(f"model.{place}", 2 * channels, channels, 3)
        shapes |= {f"model.{place + 3}.filt": (2 * channels, 1, 3, 3)} if down else {}
        place += 4 if down else 3
    for block in range(place, place + blocks):
        for part in (1, 5):
            shapes |= convolution(f"model.{block}.conv_block.{part}", 4 * width, 4 * width, 3)
    place += blocks
    for channels in (4 * width, 2 * width):
        if up:
            shapes |= {f"model.{place}.filt": (channels, 1, 4, 4)}
            shapes |= convolution(f"model.{place + 1}", channels // 2, channels, 3)
        else:
            shapes |= {
                f"model.{place}.weight": (channels, channels // 2, 3, 3),
                f"model.{place}.bias": (channels // 2,),
            }
        place += 4 if up else 3
    return shapes | convolution(f"model.{place + 1}", 3, width, 7)


def unet_light(width=4, blocks=4, ins=3, outs=3):
    """HyPER-GAN's generator: enc1 to enc3, four blocks, dec3 to dec1; decoders take the encoders' features too."""
    shapes = convolution("enc1.0", width, ins, 4) | convolution("enc2.0", 2 * width, width, 4)
    shapes |= convolution("enc3.0", 4 * width, 2 * width, 4)
    for block in range(blocks):
        for place in (0, 3):
            shapes |= convolution(f"middle.{block}.block.{place}", 4 * width, 4 * width, 3)
    decoders = {"dec3": (4 * width, 2 * width), "dec2": (4 * width, width), "dec1": (2 * width, outs)}
    for name, (inside, outside) in decoders.items():
        shapes |= {f"{name}.0.weight": (inside, outside, 4, 4), f"{name}.0.bias": (outside,)}
    return shapes


def unet(width=2, halvings=8, norm="batch", ins=3, outs=3):
    """pix2pix's generator: model.model.0, model.model.1.model.1, model.model.1.model.3.model.1, and so on inwards."""
    bias = norm == "instance"
    widths = [width * min(2**depth, 8) for depth in range(halvings)]
    shapes = convolution("model.model.0", width, ins, 4, bias)
    inside = "model.model.1"
    for depth in range(1, halvings):
        innermost = depth == halvings - 1
        shapes |= convolution(f"{inside}.model.1", widths[depth], widths[depth - 1], 4, bias)
        up = 3 if innermost else 5
        if norm == "batch":
            shapes |= {} if innermost else batch_norm(f"{inside}.model.2", widths[depth])
            shapes |= batch_norm(f"{inside}.model.{up + 1}", widths[depth - 1])
        # Above the innermost level, what comes from below has been joined to what was kept.
        ins = widths[depth] * (1 if innermost else 2)
        shapes |= {f"{inside}.model.{up}.weight": (ins, widths[depth - 1], 4, 4)}
        shapes |= {f"{inside}.model.{up}.bias": (widths[depth - 1],)} if bias else {}
        inside += ".model.3"
    return shapes | {"model.model.3.weight": (2 * width, outs, 4, 4), "model.model.3.bias": (outs,)}


def patch_discriminator(width=4, ins=3):
    widths = [width, 2 * width, 4 * width, 8 * width]
    shapes = convolution("model.0", width, ins, 4)
    for place, (narrow, wide) in zip((2, 5, 8), pairwise(widths), strict=True):
        shapes |= convolution(f"model.{place}", wide, narrow, 4)
    return shapes | convolution("model.11", 1, 8 * width, 4)


def pix2pixhd_global(width=4, ins=36, halvings=4, blocks=9, closing=True):
    """model.1, 4, 7, 10, 13, the blocks from 16 on, 25, 28, 31, 34 and 38, for four halvings and nine blocks."""
    shapes = convolution("model.1", width, ins, 7)
    for depth in range(halvings):
        shapes |= convolution(f"model.{4 + 3 * depth}", width * 2 ** (depth + 1), width * 2**depth, 3)
    first, deep = 4 + 3 * halvings, width * 2**halvings
    for block in range(first, first + blocks):
        for place in (1, 5):
            shapes |= convolution(f"model.{block}.conv_block.{place}", deep, deep, 3)
    for depth in range(halvings):
        name, ins_here = f"model.{first + blocks + 3 * depth}", deep // 2**depth
        shapes |= {f"{name}.weight": (ins_here, ins_here // 2, 3, 3), f"{name}.bias": (ins_here // 2,)}
    return shapes | (convolution(f"model.{first + blocks + 3 * halvings + 1}", 3, width, 7) if closing else {})


def pix2pixhd_local(width=2, ins=36, halvings=4, blocks=9):
    """The global network without its closing, and model1_1 and model1_2 around it."""
    shapes = pix2pixhd_global(2 * width, ins, halvings, blocks, closing=False)
    shapes |= convolution("model1_1.1", width, ins, 7) | convolution("model1_1.4", 2 * width, width, 3)
    for block in range(3):
        for place in (1, 5):
            shapes |= convolution(f"model1_2.{block}.conv_block.{place}", 2 * width, 2 * width, 3)
    shapes |= {"model1_2.3.weight": (2 * width, width, 3, 3), "model1_2.3.bias": (width,)}
    return shapes | convolution("model1_2.7", 3, width, 7)


def pix2pixhd_encoder(width=2, features=3, halvings=4):
    """model.1, 4, 7, 10, 13, then 16, 19, 22, 25 and 29, for four halvings."""
    shapes = convolution("model.1", width, 3, 7)
    for depth in range(halvings):
        shapes |= convolution(f"model.{4 + 3 * depth}", width * 2 ** (depth + 1), width * 2**depth, 3)
    for depth in range(halvings):
        name, ins = f"model.{4 + 3 * (halvings + depth)}", width * 2 ** (halvings - depth)
        shapes |= {f"{name}.weight": (ins, ins // 2, 3, 3), f"{name}.bias": (ins // 2,)}
    return shapes | convolution(f"model.{5 + 6 * halvings}", features, width, 7)


def pix2pixhd_discriminator(width=4, ins=39, scales=2, features=True):
    widths = [width, 2 * width, 4 * width, 8 * width]
    channels = [(width, ins), *zip(widths[1:], widths, strict=False), (1, 8 * width)]
    shapes = {}
    for scale in range(scales):
        for layer, place in enumerate((0, 2, 5, 8, 11)):
            name = f"scale{scale}_layer{layer}.0" if features else f"layer{scale}.{place}"
            shapes |= convolution(name, *channels[layer], 4)
    return shapes


# --- what they compute ------------------------------------------------------------------------------------------------


def normalised(state, name, features):
    """Instance norm; where there are weights, batch norm with the statistics of training, or of a frame alone."""
    if f"{name}.weight" not in state:
        return functional.instance_norm(features)
    if f"{name}.running_mean" not in state:
        return functional.batch_norm(
            features, None, None, state[f"{name}.weight"], state[f"{name}.bias"], training=True
        )
    parts = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(features, *parts)


def convolved(state, name, features, **how):
    return functional.conv2d(features, state[f"{name}.weight"], state.get(f"{name}.bias"), **how)


def doubled(state, name, features, **how):
    return functional.conv_transpose2d(features, state[f"{name}.weight"], state.get(f"{name}.bias"), stride=2, **how)


def mirrored(features, pixels):
    return functional.pad(features, (pixels,) * 4, mode="reflect")


def block(state, name, features, second=5):
    inner = convolved(state, f"{name}.1", mirrored(features, 1))
    inner = functional.relu(normalised(state, f"{name}.2", inner))
    inner = convolved(state, f"{name}.{second}", mirrored(inner, 1))
    return features + normalised(state, f"{name}.{second + 1}", inner)


def of_resnet(state, image, blocks=9, halvings=2, second=5, prefix="model"):
    """CycleGAN's and pix2pixHD's global generator: (B, C, H, W) to (B, 3, H, W)."""
    x = functional.relu(normalised(state, f"{prefix}.2", convolved(state, f"{prefix}.1", mirrored(image, 3))))
    for depth in range(halvings):
        place = 4 + 3 * depth
        x = convolved(state, f"{prefix}.{place}", x, stride=2, padding=1)
        x = functional.relu(normalised(state, f"{prefix}.{place + 1}", x))
    first = 4 + 3 * halvings
    for place in range(first, first + blocks):
        x = block(state, f"{prefix}.{place}.conv_block", x, second)
    for depth in range(halvings):
        place = first + blocks + 3 * depth
        x = doubled(state, f"{prefix}.{place}", x, padding=1, output_padding=1)
        x = functional.relu(normalised(state, f"{prefix}.{place + 1}", x))
    last = f"{prefix}.{first + blocks + 3 * halvings + 1}"
    return torch.tanh(convolved(state, last, mirrored(x, 3))) if f"{last}.weight" in state else x


def of_antialiased_resnet(state, image, blocks=9):
    """Without its filters where it halves (--no_antialias) or doubles (--no_antialias_up): as CycleGAN's there."""
    down, up = "model.7.filt" in state, any(key.endswith("filt") and state[key].shape[-1] == 4 for key in state)
    x, place = functional.relu(functional.instance_norm(convolved(state, "model.1", mirrored(image, 3)))), 4
    for _ in range(2):
        stride = 1 if down else 2
        x = functional.relu(functional.instance_norm(convolved(state, f"model.{place}", x, stride=stride, padding=1)))
        if down:
            kernel = state[f"model.{place + 3}.filt"]
            x = functional.conv2d(mirrored(x, 1), kernel, stride=2, groups=len(kernel))
        place += 4 if down else 3
    for _ in range(blocks):
        x, place = block(state, f"model.{place}.conv_block", x), place + 1
    for _ in range(2):
        if up:
            kernel = state[f"model.{place}.filt"]
            x = functional.pad(x, (1, 1, 1, 1), mode="replicate")
            x = functional.conv_transpose2d(x, kernel, stride=2, padding=2, groups=len(kernel))[:, :, 1:-1, 1:-1]
            x = convolved(state, f"model.{place + 1}", x, padding=1)
        else:
            x = doubled(state, f"model.{place}", x, padding=1, output_padding=1)
        x, place = functional.relu(functional.instance_norm(x)), place + (4 if up else 3)
    return torch.tanh(convolved(state, f"model.{place + 1}", mirrored(x, 3)))


def of_unet_light(state, image):
    """HyPER-GAN's generator: (B, 3, H, W) to (B, 3, H, W)."""
    first = functional.relu(convolved(state, "enc1.0", image, stride=2, padding=1))
    second = functional.relu(functional.instance_norm(convolved(state, "enc2.0", first, stride=2, padding=1)))
    x = functional.relu(functional.instance_norm(convolved(state, "enc3.0", second, stride=2, padding=1)))
    for name in (f"middle.{block}.block" for block in range(4)):
        inner = functional.relu(functional.instance_norm(convolved(state, f"{name}.0", x, padding=1)))
        x = x + functional.instance_norm(convolved(state, f"{name}.3", inner, padding=1))
    x = functional.relu(functional.instance_norm(doubled(state, "dec3.0", x, padding=1)))
    x = functional.relu(functional.instance_norm(doubled(state, "dec2.0", torch.cat([x, second], 1), padding=1)))
    return torch.tanh(doubled(state, "dec1.0", torch.cat([x, first], 1), padding=1))


def of_unet(state, image, halvings=8):
    def level(inside, features, depth):
        x = convolved(state, f"{inside}.model.1", functional.leaky_relu(features, 0.2), stride=2, padding=1)
        if depth == halvings - 1:
            x = doubled(state, f"{inside}.model.3", functional.relu(x), padding=1)
            return torch.cat([features, normalised(state, f"{inside}.model.4", x)], 1)
        x = level(f"{inside}.model.3", normalised(state, f"{inside}.model.2", x), depth + 1)
        x = doubled(state, f"{inside}.model.5", functional.relu(x), padding=1)
        return torch.cat([features, normalised(state, f"{inside}.model.6", x)], 1)

    x = level("model.model.1", convolved(state, "model.model.0", image, stride=2, padding=1), 1)
    return torch.tanh(doubled(state, "model.model.3", functional.relu(x), padding=1))


def of_local_enhancer(state, layout, halvings=4, blocks=9):
    coarse = functional.avg_pool2d(layout, 3, stride=2, padding=1, count_include_pad=False)
    deep = of_resnet(state, coarse, blocks, halvings)
    x = functional.relu(functional.instance_norm(convolved(state, "model1_1.1", mirrored(layout, 3))))
    x = functional.relu(functional.instance_norm(convolved(state, "model1_1.4", x, stride=2, padding=1))) + deep
    for place in range(3):
        x = block(state, f"model1_2.{place}.conv_block", x)
    x = doubled(state, "model1_2.3", x, padding=1, output_padding=1)
    x = functional.relu(functional.instance_norm(x))
    return torch.tanh(convolved(state, "model1_2.7", mirrored(x, 3)))
