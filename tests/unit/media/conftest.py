"""Real bytes for the codec tests: encoded on the spot through PyAV, described by FFmpeg's own eyes."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.scheduling import scheduled_as_before

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Encoded:
    """One encoded track: its configuration, its packets, and what ffprobe says of the file."""

    config: bytes
    packets: tuple[bytes, ...]
    keyframes: tuple[bool, ...]
    durations: tuple[int, ...]
    data: bytes
    probe: dict[str, Any]


def _probe(path: Path) -> dict[str, Any]:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["streams"][0]


def _read(path: Path) -> Encoded:
    data = path.read_bytes()
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return Encoded(
            bytes(stream.codec_context.extradata or b""),
            tuple(bytes(packet) for packet in packets),
            tuple(bool(packet.is_keyframe) for packet in packets),
            tuple(packet.duration or 0 for packet in packets),
            data,
            _probe(path),
        )


def _encode_by_ffmpeg(path: Path, codec: str, source: str, frames: int, pix_fmt: str, options: dict[str, str]) -> None:
    chosen = [word for name, value in options.items() for word in (f"-{name}", value)]
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", str(frames), "-pix_fmt", pix_fmt]
    subprocess.run([*command, "-c:v", codec, *chosen, str(path)], check=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def encode_video(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Encoded]:
    """Encode a moving gradient: ``encode_video("libx264", 854, 480, rate=25, options={…})``."""
    folder = tmp_path_factory.mktemp("video")

    def encode(
        codec: str,
        width: int,
        height: int,
        *,
        rate: Fraction | int = 25,
        frames: int = 3,
        pix_fmt: str = "yuv420p",
        suffix: str = "mp4",
        options: dict[str, str] | None = None,
        aspect: Fraction | None = None,
    ) -> Encoded:
        path = folder / f"{len(list(folder.iterdir()))}.{suffix}"
        if codec == "libx265":  # the one bundled with PyAV now and then writes broken packets under load
            _encode_by_ffmpeg(path, codec, f"testsrc=size={width}x{height}:rate={rate}", frames, pix_fmt, options or {})
            return _read(path)
        with scheduled_as_before(), av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            if aspect is not None:
                stream.codec_context.sample_aspect_ratio = aspect
            for number in range(frames):
                row = (np.arange(width) + 16 * number).astype(np.uint8)
                picture = np.broadcast_to(row[None, :, None], (height, width, 3))
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
                    format=pix_fmt
                )
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return _read(path)

    return encode


@pytest.fixture(scope="session")
def encode_audio(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Encoded]:
    """Encode a tone: ``encode_audio("aac", 48000, "stereo")``."""
    folder = tmp_path_factory.mktemp("audio")

    def encode(
        codec: str,
        rate: int,
        layout: str,
        *,
        sample_format: str = "fltp",
        seconds: float = 0.25,
        suffix: str = "mp4",
        options: dict[str, str] | None = None,
    ) -> Encoded:
        path = folder / f"{len(list(folder.iterdir()))}.{suffix}"
        with scheduled_as_before(), av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, layout=layout, options=options or {})
            channels = stream.codec_context.layout.nb_channels
            tone = np.sin(np.arange(int(rate * seconds)) * (2 * math.pi * 440 / rate)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.tile(tone, (channels, 1)), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
            for piece in (*av.AudioResampler(sample_format, layout, rate).resample(frame), None):
                container.mux(stream.encode(piece))
        return _read(path)

    return encode


@pytest.fixture(scope="session")
def dash_codecs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], str]:
    """The ``codecs`` attribute FFmpeg's DASH muxer gives the only track of a file."""

    def codecs(data: bytes) -> str:
        manifest = tmp_path_factory.mktemp("dash") / "live.mpd"
        with av.open(io.BytesIO(data)) as source, av.open(str(manifest), "w", format="dash") as target:
            stream = source.streams[0]
            copy = target.add_stream_from_template(stream, opaque=True)
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
        found = re.search(r'codecs="([^"]+)"', manifest.read_text())
        assert found is not None
        return found[1]

    return codecs


@pytest.fixture(scope="session")
def bunny() -> Path:
    """The real clip among the project's test media."""
    return Path(__file__).parents[2] / "media" / "bigbuckbunny.mp4"
