"""Augmentation of whole batches: image and label map stay in step, and the seed alone decides."""

import pytest
import torch

from pipelines.data.sampling.augment import FrameChanges
from pipelines.data.sampling.device_augment import DeviceAugmentation
from segment.batches import LabelledBatch
from tests.pipelines.data.sampling.painted import EVERYTHING, LOOKS


def augment(seed=0, batch=None, **changes):
    torch.manual_seed(seed)
    return DeviceAugmentation(FrameChanges(**{"style_window": 0.05} | changes))(batch or coloured())


def coloured(number=4, height=24, width=40):
    """Random pictures; the label map is the level of red, so that the image alone tells what it must be."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(number, 3, height, width, generator=generator) * 0.7 + 0.15
    style = (
        torch.rand(number, 3, height, width, generator=generator) * 0.2 + torch.tensor([0.6, 0.4, 0.2])[:, None, None]
    )
    return LabelledBatch(image, (image[:, 0] * 255).long(), style, torch.arange(number) % 2 == 0)


@pytest.mark.parametrize("seed", range(8))
def test_image_and_label_are_mirrored_together(seed):
    batch = augment(seed, flip=True)
    assert torch.equal((batch.image[:, 0] * 255).long(), batch.label_map)


def test_half_of_the_images_are_mirrored():
    mirrored = sum((augment(seed, flip=True).image != coloured().image).flatten(1).any(1).sum() for seed in range(40))
    assert 55 < mirrored < 105


@pytest.mark.parametrize("changes", LOOKS.values(), ids=LOOKS)
def test_looks_leave_the_label_map_alone_and_stay_in_range(changes):
    batch = augment(**changes)
    assert torch.equal(batch.label_map, coloured().label_map)
    assert batch.image.dtype == torch.float32 and batch.image.shape == (4, 3, 24, 40)
    assert batch.image.min() >= 0 and batch.image.max() <= 1


@pytest.mark.parametrize(("name", "changes"), LOOKS.items())
def test_looks_change_every_image_that_they_may(name, changes):
    changed = ((augment(**changes).image - coloured().image).abs() > 1e-3).flatten(1).any(1)
    assert changed.tolist() == (coloured().styled.tolist() if "style" in name else [True] * 4)


@pytest.mark.parametrize(("name", "changes"), [pair for pair in LOOKS.items() if pair[0] != "colour_jitter"])
def test_probabilities_are_kept(name, changes):
    """A quarter of 240 images, or of the half that may be styled: a standard deviation of at most 4 %."""
    rare = {key: 0.25 if value == 1.0 else value for key, value in changes.items()}
    batch = coloured(12, 16, 16)
    results = [augment(seed, batch, **rare).image for seed in range(20)]
    changed = torch.stack([((result - batch.image).abs() > 1e-3).flatten(1).any(1) for result in results]).float()
    assert changed.mean().item() == pytest.approx(0.125 if "style" in name else 0.25, abs=0.1)


def test_with_everything_off_the_batch_is_the_same():
    batch = augment()
    torch.testing.assert_close(batch.image, coloured().image, atol=1e-6, rtol=0)
    assert torch.equal(batch.label_map, coloured().label_map)


def test_the_seed_decides_everything():
    """Draws that came before decide nothing: a resumed run makes the batches that it would have made."""
    first, same, other = (augment(seed, **EVERYTHING | {"flip": True}) for seed in (3, 3, 4))
    assert torch.equal(first.image, same.image) and torch.equal(first.label_map, same.label_map)
    assert not torch.equal(first.image, other.image)


def test_the_target_lends_its_colours():
    mean = augment(style_from_target=1.0).image[0].mean((1, 2))
    torch.testing.assert_close(mean, torch.tensor([0.7, 0.5, 0.3]), atol=0.03, rtol=0)


def test_what_was_filled_up_has_no_share_in_the_looks():
    batch = coloured()
    batch.image[:, :, 12:], batch.label_map[:, 12:] = 0, 255
    for style in ("colour", "fourier"):
        image = augment(0, batch, style_from_target=1.0, style=style).image
        assert (image[:, :, 12:] == 0).all()
        torch.testing.assert_close(image[0, :, :12].mean((1, 2)), torch.tensor([0.7, 0.5, 0.3]), atol=0.05, rtol=0)


@pytest.mark.parametrize("changes", LOOKS.values(), ids=LOOKS)
def test_what_was_filled_up_is_black_whatever_the_looks(changes):
    """A method that looks for what a frame shows knows the filling by it; black within a picture is no filling."""
    batch = coloured()
    batch.image[:, :, 12:], batch.label_map[:, 12:] = 0, 255
    batch.image[:, :, 3, 4], batch.label_map[:, 3, 4] = 0, 255
    image = augment(0, batch, **changes).image
    assert (image[:, :, 12:] == 0).all()
    if "colour_jitter" in changes:
        assert (image[:, :, 3, 4] > 0).any()


def test_a_batch_without_style_images_keeps_its_looks():
    batch = LabelledBatch(coloured().image, coloured().label_map)
    assert torch.equal(augment(0, batch, style_from_target=1.0).image, batch.image)


def test_bf16_steps_augment_in_full_precision():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = augment(**EVERYTHING)
    assert torch.equal(under_autocast.image, augment(**EVERYTHING).image)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_decides_as_the_host_does():
    """Noise apart, whose draws are the device's own."""
    everything = EVERYTHING | {"flip": True, "noise": 0.0, "jpeg": 0.0}
    ours, theirs = augment(5, **everything), augment(5, coloured().to("cuda"), **everything)
    torch.testing.assert_close(theirs.image.cpu(), ours.image, atol=1e-3, rtol=0)
    assert torch.equal(theirs.label_map.cpu(), ours.label_map)
