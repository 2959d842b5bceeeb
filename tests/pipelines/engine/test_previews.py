"""The sheet of a preview: a captioned row for each title, at most four images in it."""

import numpy as np
import torch

from pipelines.data.images import read_image
from pipelines.engine.previews import CAPTION_HEIGHT, write_preview


def test_each_title_has_a_row_of_four_images_under_its_caption(tmp_path):
    shades = torch.tensor([0.0, 0.2, 0.4, 1.0, 0.6]).view(5, 1, 1, 1)
    rows = {"image": shades.expand(5, 3, 24, 40), "prediction": 1 - shades[:2].expand(2, 3, 24, 40).repeat(2, 1, 1, 1)}
    write_preview(tmp_path / "previews/step-1.png", rows)
    sheet = read_image(tmp_path / "previews/step-1.png")
    assert sheet.shape == (2 * (CAPTION_HEIGHT + 24), 4 * 40, 3)
    first, second = sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 24], sheet[2 * CAPTION_HEIGHT + 24 :]
    assert [first[0, 40 * i].tolist() for i in range(4)] == [[value] * 3 for value in (0, 51, 102, 255)]
    assert [second[-1, 40 * i].tolist() for i in range(4)] == [[value] * 3 for value in (255, 204, 255, 204)]


def test_captions_say_different_things_in_black_on_white(tmp_path):
    grey = torch.full((1, 3, 24, 120), 0.5)
    write_preview(tmp_path / "sheet.png", {"image": grey, "label": grey})
    sheet = read_image(tmp_path / "sheet.png")
    captions = sheet[:CAPTION_HEIGHT], sheet[CAPTION_HEIGHT + 24 : 2 * CAPTION_HEIGHT + 24]
    assert all(caption.max() == 255 and caption.min() < 50 for caption in captions)
    assert not np.array_equal(*captions)


def test_images_that_are_still_learnt_from_are_shown_too(tmp_path):
    images = torch.full((1, 3, 8, 8), 0.5, dtype=torch.bfloat16, requires_grad=True)
    write_preview(tmp_path / "sheet.png", {"output": images})
    assert (read_image(tmp_path / "sheet.png")[CAPTION_HEIGHT:] == 128).all()
