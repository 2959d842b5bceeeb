"""Feature extractors from files at hand; what is no such file is refused."""

from functools import partial

import numpy as np
import pytest
import torch

from pipelines.data.disk.files import sha256_of
from pipelines.errors import CheckpointError
from pipelines.pretrained.packaged_encoders import packaged_classifier
from pipelines.stages.quality.feature_extractors import inception_extractor, packaged_extractor, segmenter_extractor
from pipelines.stages.quality.translated_pairs import Expert
from tests.segment.methods.tester import TinySegmenter


def test_extractors_from_files(tmp_path, cpu):
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        inception_extractor(tmp_path / "none.pth", cpu)
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="expected the state dict of torchvision's inception_v3"):
        inception_extractor(tmp_path / "other.pth", cpu)
    torch.save({"x": partial(print)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth"):
        inception_extractor(tmp_path / "other.pth", cpu)


@pytest.mark.slow
def test_inception_from_a_file(tmp_path, cpu):
    from torchvision.models import inception_v3

    torch.save(inception_v3(weights=None, init_weights=False).state_dict(), tmp_path / "inception.pth")
    extractor = inception_extractor(tmp_path / "inception.pth", cpu)
    assert extractor.name == f"inception_v3@{sha256_of(tmp_path / 'inception.pth')[:8]}"
    assert extractor.extract(np.full((48, 64, 3), 120, np.uint8)).shape == (2048,)


def test_the_packaged_encoder_sees_every_image_at_one_height(cpu):
    """One picture small and large lies nearer together than two pictures; features are those of the deepest map."""
    extractor = packaged_extractor(cpu)
    assert extractor.name == "efficientnet_lite0"
    blocks = [np.random.default_rng(seed).integers(0, 255, (8, 16, 3)).astype(np.uint8) for seed in (0, 1)]
    small, other = (block.repeat(28, 0).repeat(28, 1) for block in blocks)
    large = small.repeat(2, 0).repeat(2, 1)
    found = [extractor.extract(image) for image in (small, large, other)]
    assert found[0].shape == (320,) and found[0].dtype == torch.float32
    encoder = packaged_classifier("efficientnet_lite0")
    image = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    expected = encoder(encoder.normalised(image))[-1].mean((2, 3))[0]
    torch.testing.assert_close(found[0], expected, rtol=1e-4, atol=1e-4)
    assert torch.dist(found[0], found[1]) < 0.01 * torch.dist(found[0], found[2])


def test_an_experts_features_are_means_of_its_encoders_maps_at_the_height_of_its_training(cpu):
    """Channel i of the encoder is made i / 10 everywhere; a normalisation that has seen nothing leaves it so."""
    network, seen = TinySegmenter(), []
    with torch.no_grad():
        network.features[0].weight.zero_()
        network.features[0].bias.copy_(torch.arange(8) / 10)
    network.register_forward_hook(lambda module, given, result: seen.append(given[0]))
    expert = Expert("tiny@01234567", "0" * 64, network, "tiny", 16, None)
    extractor = segmenter_extractor(expert, cpu)
    features = extractor.extract(np.full((32, 64, 3), 51, np.uint8))
    assert extractor.name == "tiny@01234567" and not network.training
    assert seen[0].shape == (1, 3, 16, 32) and seen[0].unique().tolist() == pytest.approx([0.2])
    assert features.dtype == torch.float32 and features.tolist() == pytest.approx(
        [number / 10 for number in range(8)], abs=1e-5
    )
