"""Small films, drawn for the tests of videos, so that every kind of time, colour and damage can be had."""

import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest

from pipelines.data.video.recorded import read_facts, read_frames

av = pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")

BASE = Fraction(1, 12800)
FRAMES = 10
SIZE = (48, 32)
"""Width and height of a raw picture."""


def picture(number, height=32, width=48):
    noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.clip((image.astype(int) - 128) * 3 + 128 + number, 0, 255).astype(np.uint8)


def raw(count, order="rgb24"):
    """The bytes of so many pictures, one after the other."""
    pictures = [picture(number) for number in range(count)]
    return b"".join((one if order == "rgb24" else one[..., ::-1]).tobytes() for one in pictures)


def film(
    path,
    times=None,
    size=(32, 48),
    matrix=None,
    shape=None,
    sound=None,
    codec="libx264",
    pixels="yuv444p",
    options=None,
    rate=25,
):
    """Write a small video that names a rate; its frames' times are in units of BASE, `shape` that of a pixel, `options`
    the encoder's, `sound` the name of another one, for silence.
    """
    times = times or [512 * number for number in range(FRAMES)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = BASE
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        stream.options = {"crf": "4"} | (options or {})
        tone = container.add_stream(sound, rate=48000) if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=matrix or 5)
            frame.pts, frame.time_base = time, BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="mono")
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


def trimmed(path, whole, frames):
    """What `ffmpeg -ss … -c copy` makes of a film: its first frames stay in the file, before the time 0."""
    with av.open(str(whole)) as source, av.open(str(path), "w") as container:
        streams = {stream: container.add_stream_from_template(stream) for stream in source.streams}
        for stream, copy in streams.items():
            copy.time_base = stream.time_base
        for packet in source.demux():
            if packet.dts is not None:
                later = round(frames * Fraction(1, 25) / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - later, packet.dts - later, streams[packet.stream]
                container.mux(packet)
    return path


def damaged(path, number):
    """The film itself, the second half of whose packet `number` is filled with ones."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    data, packet = bytearray(path.read_bytes()), packets[number]
    begin, end = data.find(packet) + len(packet) // 2, data.find(packet) + len(packet)
    data[begin:end] = b"\xff" * (end - begin)
    path.write_bytes(data)
    return path


def shown_by(path, film, matrix):
    """A copy of an MP4 whose pictures players turn and move by a matrix (3, 3), by rows."""
    data = film.read_bytes()
    at = data.index(b"tkhd") + 44  # behind its versions, times, number, length, layer, group and volume
    numbers = [round(value * (1 << (30 if place % 3 == 2 else 16))) for place, value in enumerate(matrix)]
    path.write_bytes(data[:at] + struct.pack(">9i", *numbers) + data[at + 36 :])
    return path


def named_rate(path):
    """Frames a second, as players are told."""
    with av.open(str(path)) as container:
        return container.streams.video[0].average_rate


def seconds(path):
    facts = read_facts(path)
    return [float(time * facts.time_base) for time in facts.times]


def frames_of(path):
    return list(read_frames(path, read_facts(path)))
