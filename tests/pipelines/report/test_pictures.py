"""Pictures must arrive in the page in the right colours and at a bearable size."""

import base64

import cv2
import numpy as np

from pipelines.report import pictures
from segment.classes import PALETTE


def decoded(uri, kind):
    """The RGB pixels behind a data URI."""
    head, data = uri.split(",")
    assert head == f"data:{kind};base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_painting_has_exact_class_colours_and_black_for_ignored():
    pixels = decoded(pictures.painting(np.array([[0, 18], [255, 13]], np.uint8)), "image/png")
    assert pixels.tolist() == [[list(PALETTE[0]), list(PALETTE[18])], [[0, 0, 0], list(PALETTE[13])]]


def test_classes_that_are_scored_as_one_have_one_colour():
    """A label map tells a truck from a car; a network that learnt them as one paints both as cars."""
    label, prediction = np.array([[13, 14, 255]], np.uint8), np.array([[13, 13, 255]], np.uint8)
    assert pictures.painting(label, [[13, 14]]) == pictures.painting(prediction)
    assert pictures.painting(label) != pictures.painting(prediction)


def test_photograph_keeps_red_red():
    pixels = decoded(pictures.photograph(np.full((16, 16, 3), (250, 10, 10), np.uint8)), "image/jpeg")
    assert pixels[8, 8, 0] > 200 and pixels[8, 8, 2] < 50


def test_wide_pictures_are_fitted_and_labels_stay_labels():
    label = np.zeros((100, 2000), np.uint8)
    label[:, 1000:] = 18
    fitted = pictures.fitted(label, cv2.INTER_NEAREST)
    assert fitted.shape == (32, pictures.WIDEST)
    assert set(np.unique(fitted)) == {0, 18}
    assert pictures.fitted(label[:, :64], cv2.INTER_NEAREST).shape == (100, 64)


def test_colour_as_css():
    assert pictures.colour(0) == "#804080"
