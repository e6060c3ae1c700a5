"""What goes into a container comes out of it, from zero on, in every format; read back by PyAV."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from arclyd.errors import FrameOverwritten, MediaError
from arclyd.media.formats.container import FORMATS, Muxer, format_of
from arclyd.media.track import Track

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIP = Path(__file__).parents[3] / "media" / "bigbuckbunny.mp4"


@dataclass(frozen=True)
class Frame:
    track: int
    pts: int
    dts: int
    payload: bytes
    duration: int | None = None
    keyframe: bool = False
    is_config: bool = False

    def tobytes(self) -> bytes:
        return self.payload


class Gone(Frame):
    def tobytes(self) -> bytes:
        raise FrameOverwritten(7)


class Pipe:
    """A sink that can't go back."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)


def clip() -> tuple[list[Track], list[Frame]]:
    """The clip's tracks (video first) and frames."""
    with av.open(str(CLIP)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        tracks = [
            Track.video(
                "h264", config=bytes(video.codec_context.extradata or b""), time_base=Fraction(video.time_base)
            ),
            Track.audio("aac", config=bytes(audio.codec_context.extradata or b""), sample_rate=48000, channels=6),
        ]
        ids = {video.index: 0, audio.index: 1}
        frames = [
            Frame(ids[p.stream_index], p.pts, p.dts, bytes(p), p.duration, p.is_keyframe)
            for p in container.demux(video, audio)
            if p.size
        ]
    return tracks, frames


def mux(name: str, tracks: Sequence[Track], frames: Sequence[Frame], *, seekable: bool = True) -> bytes:
    sink: BytesIO | Pipe = BytesIO() if seekable else Pipe()
    muxer = Muxer(sink, FORMATS[name], tracks, seekable=seekable)
    for frame in frames:
        muxer.write(frame)
    muxer.close()
    return sink.getvalue() if isinstance(sink, BytesIO) else sink.data


def demux(data: bytes) -> dict[str, list[tuple[float, float, bytes]]]:
    """Of each kind of track: pts and dts in seconds, and payload."""
    found: dict[str, list[tuple[float, float, bytes]]] = {"video": [], "audio": []}
    with av.open(BytesIO(data), "r") as container:
        for packet in container.demux():
            if packet.size:
                base = packet.time_base
                found[packet.stream.type].append((float(packet.pts * base), float(packet.dts * base), bytes(packet)))
    return found


@pytest.mark.parametrize("seekable", [True, False])
@pytest.mark.parametrize("name", ["mp4", "mkv", "flv"])
def test_payloads_are_untouched_and_time_starts_at_zero(name: str, seekable: bool) -> None:
    tracks, frames = clip()
    shifted = [replace(f, pts=f.pts + f.track * 480_000 + (1 - f.track) * 128_000) for f in frames]
    shifted = [replace(f, dts=f.pts) for f in shifted]  # the clip has no B-frames
    found = demux(mux(name, tracks, shifted, seekable=seekable))
    for kind, track in (("video", 0), ("audio", 1)):
        expected = [hashlib.sha256(f.payload).digest() for f in frames if f.track == track]
        assert [hashlib.sha256(payload).digest() for _, _, payload in found[kind]] == expected
        assert found[kind][0][0] == pytest.approx(0, abs=0.03)


def test_transport_streams_carry_both_tracks_whole() -> None:
    tracks, frames = clip()
    found = demux(mux("ts", tracks, frames))
    assert [len(found[kind]) for kind in ("video", "audio")] == [132, 249]
    assert all(payload.startswith(b"\x00\x00\x00\x01") for _, _, payload in found["video"])
    assert all(payload[:2] in (b"\xff\xf1", b"\xff\xf9") for _, _, payload in found["audio"])


def test_it_starts_at_a_keyframe_and_drops_sound_from_before_it() -> None:
    tracks, frames = clip()
    video = [f for f in frames if f.track == 0]
    audio = [f for f in frames if f.track == 1]
    late = [replace(f, pts=f.pts + 12_800, dts=f.dts + 12_800) for f in video]  # the picture starts at 1 s
    inter = replace(late[1], pts=100, dts=100)
    found = demux(mux("mkv", tracks, [inter, *audio[:100], *late[:50]]))
    assert found["video"][0][2] == late[0].payload
    assert found["video"][0][0] == 0
    assert found["audio"][0][2] == audio[47].payload  # 47 * 1024 is the first at or after 48,000
    assert 0 <= found["audio"][0][0] < 0.0214


def test_time_goes_on_where_the_publisher_began_anew() -> None:
    tracks, frames = clip()
    video = [f for f in frames if f.track == 0]
    found = demux(mux("mkv", tracks, [f for _ in range(3) for f in video]))
    times = [dts for _, dts, _ in found["video"]]
    assert len(times) == 3 * 132
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(3 * 132 / 25, abs=0.1)


def test_a_frame_that_was_overwritten_is_nothing_written() -> None:
    tracks, frames = clip()
    muxer = Muxer(BytesIO(), FORMATS["mkv"], tracks)
    video = [f for f in frames if f.track == 0]
    muxer.write(video[0])
    with pytest.raises(FrameOverwritten):
        muxer.write(Gone(0, video[1].pts, video[1].dts, b""))
    muxer.resync()
    muxer.write(video[2])
    assert muxer.frames == 1
    muxer.write(replace(video[3], keyframe=True))
    assert muxer.frames == 2
    muxer.close()


def test_a_configuration_is_fixed_once_the_header_is_written() -> None:
    tracks, frames = clip()
    bare = [replace(track, config=b"") for track in tracks]
    muxer = Muxer(BytesIO(), FORMATS["mp4"], bare)
    muxer.write(Frame(0, 0, 0, tracks[0].config, is_config=True))
    other = Frame(0, 0, 0, tracks[0].config + b"\x00", is_config=True)
    assert muxer.fits(other)
    muxer.write(next(f for f in frames if f.track == 0))
    assert muxer.started
    assert not muxer.fits(other)
    assert muxer.fits(Frame(0, 0, 0, tracks[0].config, is_config=True))
    assert [track.codec.label for track in muxer.left_out] == ["aac"]  # it never got a configuration
    muxer.close()


def test_flv_takes_one_picture_and_one_sound() -> None:
    tracks, _ = clip()
    muxer = Muxer(BytesIO(), FORMATS["flv"], [*tracks, *tracks])
    assert muxer.left_out == tuple(tracks)


def test_nothing_that_fits_is_an_error() -> None:
    with pytest.raises(MediaError, match="ts container"):
        Muxer(BytesIO(), FORMATS["ts"], [Track.data("raw")])


def test_formats_by_file_name() -> None:
    assert [found.name for name in ("a.ts", "b.MP4", "c.mkv", "d.flv") if (found := format_of(name))] == [
        "ts",
        "mp4",
        "mkv",
        "flv",
    ]
    assert format_of("e.avi") is None


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize(("name", "seekable"), [("mp4", True), ("mp4", False), ("mkv", False), ("ts", True)])
def test_picture_and_sound_stay_as_far_apart_as_they_were(name: str, seekable: bool, late: int) -> None:
    """Half a second, by which one of them begins later; also where the container is never gone back in."""
    tracks, frames = clip()
    half = [Fraction(1, 2) / track.time_base for track in tracks]
    moved = [
        replace(f, pts=f.pts + int(half[f.track]), dts=f.dts + int(half[f.track])) if f.track == late else f
        for f in frames
    ]
    if late == 0:  # sound from before the picture is left out, so that the first of it is the one at its time
        moved.sort(key=lambda f: f.dts * tracks[f.track].time_base)
    found = demux(mux(name, tracks, moved, seekable=seekable))
    apart = found["audio"][0][0] - found["video"][0][0]
    first = min(f.pts * tracks[1].time_base for f in moved if f.track == 1 and f.pts * tracks[1].time_base >= late / 2)
    begins = Fraction(1, 2) * (1 - late) + frames[0].pts * tracks[0].time_base
    wanted = float(first - begins) if late else pytest.approx(0.0, abs=0.0214)
    assert apart == pytest.approx(wanted, abs=0.002) if late else apart == wanted


def test_fragments_come_out_while_a_track_is_silent() -> None:
    """Nothing is held much longer than a second, whatever the others do."""
    tracks, frames = clip()
    sink, sizes = Pipe(), []
    muxer = Muxer(sink, FORMATS["mp4"], tracks, seekable=False)
    pictures = [frame for frame in frames if frame.track == 0]
    for frame in pictures:
        muxer.write(frame)
        sizes.append(len(sink.data))
    assert len(set(sizes)) == 6
    muxer.close()
    assert [payload for _, _, payload in demux(sink.data)["video"]] == [frame.payload for frame in pictures]
