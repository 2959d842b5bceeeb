"""What a batch of stage one refuses: domains, label maps and instance maps that do not fit each other."""

import pytest
import torch

from translate.methods.batches import PairedBatch, TranslatedBatch, UnpairedBatch


def test_refuses_domains_of_different_size():
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\).*\(1, 3, 16, 8\).*Crop both domains to one size"):
        UnpairedBatch(source=torch.zeros(1, 3, 8, 8), target=torch.zeros(1, 3, 16, 8))


def test_refuses_translations_of_other_images():
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\), their translations \(1, 3, 8, 16\). Crop both at one place"):
        TranslatedBatch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 16))
    with pytest.raises(ValueError, match=r"The source label maps have shape \(1, 8, 16\)"):
        TranslatedBatch(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), zeros(1, 8, 16))


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.int64)


IMAGES = torch.zeros(2, 3, 8, 16)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"source_label_map": zeros(2, 8, 8)}, r"The source label maps have shape \(2, 8, 8\), their images \(2, 3, 8"),
        ({"source_label_map": zeros(2, 1, 8, 16)}, r"The source label maps have shape \(2, 1, 8, 16\)"),
        ({"target_label_map": zeros(2, 8, 16)}, r"The target label maps have shape \(2, 8, 16\), their images None"),
        (
            {"labelled_target": IMAGES[:1], "target_label_map": zeros(2, 8, 16)},
            r"The target label maps have shape \(2, 8, 16\), their images \(1, 3, 8, 16\)",
        ),
    ],
)
def test_labels_that_are_not_of_their_images_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        UnpairedBatch(IMAGES, IMAGES, **labels)


def test_labelled_target_frames_may_be_fewer_and_smaller_than_the_others():
    batch = UnpairedBatch(IMAGES, IMAGES, zeros(2, 8, 16), torch.zeros(1, 3, 4, 4), zeros(1, 4, 4))
    moved = batch.to("meta")
    assert moved.labelled_target.shape == (1, 3, 4, 4) and moved.target_label_map.device.type == "meta"


def test_a_pair_fits_together():
    assert PairedBatch(IMAGES, zeros(2, 8, 16), zeros(2, 8, 16)).instance_map.shape == (2, 8, 16)
    with pytest.raises(ValueError, match=r"The paired label maps have shape \(1, 8, 16\), their images \(2, 3, 8, 16"):
        PairedBatch(IMAGES, zeros(1, 8, 16))
    with pytest.raises(ValueError, match=r"^Instance maps have shape \(2, 8, 8\), label maps \(2, 8, 16\)\.$"):
        PairedBatch(IMAGES, zeros(2, 8, 16), zeros(2, 8, 8))
