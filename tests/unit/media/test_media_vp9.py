"""VP9's header against libvpx, and against bytes of any origin."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.codecs.vp9 import Vp9Header, codec_string

if TYPE_CHECKING:
    from pathlib import Path


def encoded(pix_fmt: str, folder: Path) -> list[bytes]:
    """A keyframe and the picture after it, of Debian's libvpx, which has all four profiles."""
    path = folder / "vp9.ivf"
    source = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25", "-frames:v", "2", "-pix_fmt", pix_fmt)
    options = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-lag-in-frames", "0", "-auto-alt-ref", "0")
    subprocess.run(["ffmpeg", "-v", "error", *source, *options, str(path)], check=True, timeout=60)
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux() if packet.size]


@pytest.mark.parametrize(
    ("pix_fmt", "profile", "depth", "name"),
    [
        ("yuv420p", 0, 8, "vp09.00.10.08"),
        ("yuv444p", 1, 8, "vp09.01.10.08"),
        ("yuv420p10le", 2, 10, "vp09.02.10.10"),
        ("yuv444p12le", 3, 12, "vp09.03.10.12"),
    ],
)
def test_a_keyframe_says_what_was_encoded(tmp_path: Path, pix_fmt: str, profile: int, depth: int, name: str) -> None:
    key, later = encoded(pix_fmt, tmp_path)
    header = Vp9Header.parse(key)
    assert (header.profile, header.bit_depth, header.width, header.height) == (profile, depth, 96, 64)
    assert codec_string(header.record) == name
    assert len(header.record) == 8
    with pytest.raises(MediaError, match="not a keyframe"):
        Vp9Header.parse(later)


@pytest.mark.parametrize(("size", "level"), [((1280, 720), 31), ((1920, 1080), 40), ((3840, 2160), 50)])
def test_the_level_is_that_of_the_size(size: tuple[int, int], level: int) -> None:
    assert Vp9Header(0, 8, 1, 1, False, *size).record[1] == level


@given(st.binary(max_size=24))
def test_other_bytes_are_a_media_error_or_a_header(data: bytes) -> None:
    with contextlib.suppress(MediaError):
        assert Vp9Header.parse(data).width > 0
