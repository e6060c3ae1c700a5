"""What ffmpeg and ffprobe receive from a packager is what was published, access unit by access unit."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.media.codecs import TrackKind
from tests.e2e.packager import KEY, Packager, decoded, probed, publish, publishing
from tests.packaging import FakeFrame, Packet, make_clip, published, read_clip
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arclyd.media.track import Track
    from tests.daemon import Daemon, Spawner

    Clip = tuple[list[Track], list[FakeFrame]]

MICROSECOND = Fraction(1, 1_000_000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    folder = tmp_path_factory.mktemp("clips")
    return lambda name: read_clip(make_clip(folder, name))


def wanted(tracks: list[Track], frames: list[FakeFrame], kind: TrackKind) -> list[Packet]:
    """What was published on the first track of that kind, as times that are not negative."""
    number = next(number for number, track in enumerate(tracks) if track.kind is kind)
    first = next(frame for frame in frames if frame.track == 0 and not frame.is_config)
    shift = 0 if first.dts >= 0 else 1
    return published(frames, number, tracks[number].time_base, shift)


def assert_ends_alike(found: list[Packet], wanted: list[Packet]) -> None:
    """All of ``found``, in order, is the end of ``wanted``, where at most a packet or two before the picture miss."""
    assert 0 <= len(wanted) - len(found) <= 2
    shown = wanted[len(wanted) - len(found) :]
    assert [packet.digest for packet in found] == [packet.digest for packet in shown]
    for one, other in zip(found, shown, strict=True):
        assert abs(one.pts - other.pts) <= MICROSECOND
        assert abs(one.dts - other.dts) <= MICROSECOND


@pytest.mark.parametrize(
    "name", ["h264_aac.mp4", "h264_bframes_aac.mp4", "hevc_aac.mp4", "av1_opus.mkv", "vp9_opus.mkv", "sound.m4a"]
)
def test_every_access_unit_arrives_as_it_was_published(
    daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip], name: str
) -> None:
    tracks, frames = clip(name)
    packager = Packager(spawn, KEY)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(f"/{KEY}/index.m3u8")
    index = f"{packager.url}/{KEY}/index.m3u8"
    packager.get(f"/{KEY}/track-0.m3u8?_HLS_msn=1")  # it has ended
    for kind, letter in ((TrackKind.VIDEO, "v"), (TrackKind.AUDIO, "a")):
        if any(track.kind is kind for track in tracks):
            assert_ends_alike(probed(index, letter), wanted(tracks, frames, kind))
    assert decoded(index) == ""
    assert "ENDLIST" in packager.get(f"/{KEY}/track-0.m3u8").text
    if name.endswith(".mkv"):  # MPEG-TS holds neither AV1 nor VP9 in a way others read
        assert packager.get(f"/{KEY}/ts.m3u8").status == 404
    else:
        transport = f"{packager.url}/{KEY}/index-ts.m3u8"
        assert decoded(transport) == ""
        letter, kind = ("a", TrackKind.AUDIO) if name == "sound.m4a" else ("v", TrackKind.VIDEO)
        assert len(probed(transport, letter)) == len(wanted(tracks, frames, kind))


def test_dash_plays(daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_bframes_aac.mp4")
    packager = Packager(spawn, KEY, kind="dash")
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(f"/{KEY}/manifest.mpd")
        manifest = f"{packager.url}/{KEY}/manifest.mpd"
        assert decoded(manifest, "-t", "3") == ""


@pytest.mark.parametrize("name", ["live.ts", "live.flv"])
def test_an_endless_stream_starts_with_a_picture_and_ends_with_the_stream(
    daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip], tmp_path: Path, name: str
) -> None:
    tracks, frames = clip("h264_aac.mp4")
    half = len(frames) // 2
    packager = Packager(spawn, KEY)
    file = tmp_path / name
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames[:half])
        packager.await_file(f"/{KEY}/index.m3u8")
        command = ["ffmpeg", "-v", "warning", "-nostdin", "-i", f"{packager.url}/{KEY}/{name}", "-c", "copy", str(file)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as player:
            try:
                with arclyd.connect() as control:
                    wait_until(
                        lambda: control.metadata(KEY).tags.get("package.viewers") == "1",
                        what="ffmpeg to be counted",
                    )
                publish(publisher, frames[half:])
                publisher.close()
                _, errors = player.communicate(timeout=60)
            finally:
                player.kill()
    assert errors == ""
    digests = [packet.digest for packet in wanted(tracks, frames, TrackKind.VIDEO)]
    assert len(probed(str(file), "v")) in range(len(digests) // 2, len(digests) + 1)
    assert decoded(str(file)) == ""


def test_the_snapshot_is_the_newest_keyframe(daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    packager = Packager(spawn, KEY)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(f"/{KEY}/index.m3u8")
        picture = packager.get(f"/{KEY}/snapshot.jpg")
    assert picture.headers["Content-Type"] == "image/jpeg"
    command = ["ffprobe", "-v", "error", "-f", "image2pipe", "-show_entries", "stream=codec_name,width,height"]
    done = subprocess.run([*command, "-of", "csv=p=0", "-"], input=picture.body, capture_output=True, check=True)
    assert done.stdout.split() == [b"mjpeg,160,120"]


def test_without_a_picture_there_is_no_snapshot(daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("sound.m4a")
    packager = Packager(spawn, KEY)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(f"/{KEY}/index.m3u8")
        assert packager.get(f"/{KEY}/snapshot.jpg").status == 404
