"""What ffmpeg and ffprobe receive from a packager is what was published, access unit by access unit."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

import arclyd
from arclyd.media.codecs import TrackKind
from tests.e2e.packager import KEY, Asking, Packager, decoded, probed, publish, publishing
from tests.packaging import (
    FakeFrame,
    Packet,
    essence,
    later,
    make_clip,
    packets_of,
    published,
    read_clip,
    transport_packets,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.media.track import Track
    from tests.daemon import Daemon, Spawner

    Clip = tuple[list[Track], list[FakeFrame]]

MICROSECOND = Fraction(1, 1_000_000)
PTS_TICK = Fraction(1, 90_000)
CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"


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


def assert_ends_alike(found: list[Packet], wanted: list[Packet], tick: Fraction) -> None:
    """All of ``found``, in order, is the end of ``wanted``; ``tick``: what times are rounded to."""
    assert found
    shown = wanted[len(wanted) - len(found) :]
    assert [packet.digest for packet in found] == [packet.digest for packet in shown]
    for one, other in zip(found, shown, strict=True):
        assert abs(one.pts - other.pts) <= tick
        assert abs(one.dts - other.dts) <= tick


def assert_alike(found: list[Packet], wanted: list[Packet], tick: Fraction = MICROSECOND) -> None:
    """All of ``found``, in order, is the end of ``wanted``, where at most a packet or two before the picture miss."""
    assert 0 <= len(wanted) - len(found) <= 2
    assert_ends_alike(found, wanted, tick)


def in_transport(wanted: list[Packet], tracks: list[Track], frames: list[FakeFrame], kind: TrackKind) -> list[Packet]:
    """The same packets by what MPEG-TS does not change of them."""
    number, codec = next((number, track.codec) for number, track in enumerate(tracks) if track.kind is kind)
    media = [frame for frame in frames if frame.track == number and not frame.is_config]
    return [
        Packet(packet.dts, packet.pts, essence(codec, frame.payload, transport=False))
        for packet, frame in zip(wanted, media, strict=True)
    ]


KINDS = ((TrackKind.VIDEO, "video"), (TrackKind.AUDIO, "audio"))
CLIPS = ["h264_aac.mp4", "h264_bframes_aac.mp4", "hevc_aac.mp4", "av1_opus.mkv", "vp9_opus.mkv", "sound.m4a"]


@pytest.mark.parametrize("name", [*CLIPS, "bigbuckbunny.mp4"])
def test_every_access_unit_arrives_as_it_was_published(
    daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip], tmp_path: Path, name: str
) -> None:
    """In every variant: payloads by their digests, and times, which are off by the same for picture and sound."""
    tracks, frames = looped() if name == "bigbuckbunny.mp4" else clip(name)
    packager = Packager(spawn, KEY, "--directory", str(tmp_path / "www"))
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(f"/{KEY}/index.m3u8")
    index = f"{packager.url}/{KEY}/index.m3u8"
    wait_until(lambda: "ENDLIST" in packager.get(f"/{KEY}/track-0.m3u8").text, what="the end")
    assert decoded(index) == ""
    files = tmp_path / "www" / KEY
    ended = files / "track-0.m3u8"
    wait_until(lambda: ended.exists() and "ENDLIST" in ended.read_text(), what="the end in the directory")
    manifest = dash_files(packager)
    for kind, word in KINDS:
        if any(track.kind is kind for track in tracks):
            expected = wanted(tracks, frames, kind)
            assert_alike(probed(index, word[0]), expected)
            assert_alike(packets_of(manifest[word]), expected)
            assert_alike(probed(str(files / "index.m3u8"), word[0]), expected)
    if name.endswith(".mkv"):  # MPEG-TS holds neither AV1 nor VP9 in a way others read
        assert packager.get(f"/{KEY}/ts.m3u8").status == 404
        assert packager.get(f"/{KEY}/live.ts").status == 406
    else:
        assert_transport(packager, tracks, frames)


def looped() -> Clip:
    """A clip that is not synthetic, twice: the file's length is no multiple of its sound's frames."""
    tracks, frames = read_clip(CLIP)
    length = max((frame.dts + (frame.duration or 0)) * tracks[frame.track].time_base for frame in frames)
    again = later(frames, tracks, length, len(frames))
    return tracks, [*frames, *(frame for frame in again if not frame.is_config)]


def dash_files(packager: Packager) -> dict[str, bytes]:
    """Init and media segments of each kind as a manifest lists them, in one."""
    tree = ElementTree.fromstring(packager.get(f"/{KEY}/manifest.mpd").body)
    space = {"d": "urn:mpeg:dash:schema:mpd:2011"}
    (period,) = tree.findall("d:Period", space)
    found = {}
    for adaptation in period.findall("d:AdaptationSet", space):
        template = adaptation.find("d:Representation/d:SegmentTemplate", space)
        assert template is not None
        first = int(template.attrib["startNumber"])
        runs = template.findall("d:SegmentTimeline/d:S", space)
        count = sum(1 + int(run.get("r", "0")) for run in runs)
        uris = [template.attrib["media"].replace("$Number$", str(first + number)) for number in range(count)]
        bodies = [packager.get(f"/{KEY}/{uri}") for uri in (template.attrib["initialization"], *uris)]
        assert [body.status for body in bodies] == [200] * (count + 1)
        found[adaptation.attrib["contentType"]] = b"".join(body.body for body in bodies)
    return found


def assert_transport(packager: Packager, tracks: list[Track], frames: list[FakeFrame]) -> None:
    transport = f"{packager.url}/{KEY}/index-ts.m3u8"
    assert decoded(transport) == ""
    playlist = packager.get(f"/{KEY}/ts.m3u8").text
    segments = [packager.get(f"/{KEY}/{line}").body for line in playlist.splitlines() if not line.startswith("#")]
    endless = packager.get(f"/{KEY}/live.ts").body  # it has ended: of the newest segment
    shifts = set()
    for kind, word in KINDS:
        codec = next((track.codec for track in tracks if track.kind is kind), None)
        if codec is None:
            continue
        expected = in_transport(wanted(tracks, frames, kind), tracks, frames, kind)
        found = [packet for segment in segments for packet in transport_packets(segment, word, codec)]
        assert_alike(found, expected, PTS_TICK)
        newest = transport_packets(endless, word, codec)
        shift = newest[-1].pts - expected[-1].pts
        moved = [replace(packet, dts=packet.dts - shift, pts=packet.pts - shift) for packet in newest]
        assert_ends_alike(moved, expected, PTS_TICK)
        shifts.add(shift)
    assert max(shifts) - min(shifts) <= 2 * PTS_TICK  # picture and sound are as far apart as they were


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


@pytest.mark.parametrize("name", ["live.ts", "live.flv"])
def test_who_joins_an_endless_stream_later_has_a_whole_one(
    daemon: Daemon, spawn: Spawner, clip: Callable[[str], Clip], tmp_path: Path, name: str
) -> None:
    """It is made once for all who watch: the second one gets what is made for the first, from a keyframe on."""
    tracks, frames = clip("h264_bframes_aac.mp4")
    # The sound that reaches into the next round would be played twice.
    frames = [frame for frame in frames if (frame.dts + (frame.duration or 0)) * tracks[frame.track].time_base <= 6]
    packager = Packager(spawn, KEY)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(f"/{KEY}/index.m3u8")
        watching = [Asking(packager, f"/{KEY}/{name}")]
        with arclyd.connect() as control:
            wait_until(lambda: control.metadata(KEY).tags.get("package.viewers") == "1", what="the first to be counted")
            publish(publisher, [frame for frame in later(frames, tracks, Fraction(6), 0) if not frame.is_config])
            watching.append(Asking(packager, f"/{KEY}/{name}"))
            wait_until(lambda: control.metadata(KEY).tags.get("package.viewers") == "2", what="the second, too")
        publish(publisher, [frame for frame in later(frames, tracks, Fraction(12), 0) if not frame.is_config])
        publisher.close()
    counts = []
    for number, each in enumerate(watching):
        file = tmp_path / f"{number}-{name}"
        file.write_bytes(each.answer().body)
        # In whole milliseconds, as FLV has them, sound does not follow on sound to the sample.
        assert decoded(str(file), *(("-an",) if name == "live.flv" else ())) == ""
        pictures = probed(str(file), "v")
        counts.append(len(pictures))
    assert counts[0] > counts[1] >= 150


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
