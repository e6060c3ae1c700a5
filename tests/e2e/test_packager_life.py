"""A packager process under what happens to it: killed, overtaken, kicked, left by its publisher and its daemon."""

from __future__ import annotations

import pickle
import re
import signal
import time
from fractions import Fraction
from typing import TYPE_CHECKING

import m3u8
import pytest

import arclyd
from tests.e2e.packager import (
    KEY,
    TRACK,
    Asking,
    Packager,
    again,
    decoded,
    newest,
    publish,
    publishing,
    whole,
)
from tests.packaging import FakeFrame, make_clip, packets_of, published, read_clip
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from arclyd.media.track import Track
    from tests.daemon import Daemon, Spawner

    Clip = tuple[list[Track], list[FakeFrame]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Six seconds, a keyframe each second, as they would have been captured just now."""
    return read_clip(make_clip(tmp_path_factory.mktemp("clip"), "h264_aac.mp4"), time.time_ns())


def test_a_killed_packager_goes_on_with_the_same_numbers_and_bytes(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher, arclyd.connect() as control:
        publish(publisher, frames)
        first = Packager(spawn, KEY)
        before = first.await_file(TRACK).text
        segments = [segment for segment in m3u8.loads(before).segments if segment.uri]
        bodies = {segment.uri: first.get(f"/{KEY}/{segment.uri}").body for segment in segments}
        wait_until(lambda: "package.resume" in control.metadata(KEY).tags, what="the bookmark")
        first.script.kill()
        publish(publisher, again(clip, 6))
        second = Packager(spawn, KEY, bind=first.bind)
        after = second.await_file(TRACK).text
        assert whole(after)[: len(whole(before))] == whole(before)
        assert newest(after) > newest(before)
        for uri, body in bodies.items():
            assert second.get(f"/{KEY}/{uri}").body == body
        assert "DISCONTINUITY\n" not in after


def test_a_packager_that_missed_too_much_starts_with_higher_numbers(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks, slots=len(frames)) as publisher, arclyd.connect() as control:
        publish(publisher, frames)
        first = Packager(spawn, KEY)
        before = first.await_file(TRACK).text
        wait_until(lambda: "package.resume" in control.metadata(KEY).tags, what="the bookmark")
        first.script.kill()
        publish(publisher, again(clip, 6))
        publish(publisher, again(clip, 12))
        after = Packager(spawn, KEY).await_file(TRACK).text
        assert m3u8.loads(after).media_sequence > newest(before)
        assert m3u8.loads(after).discontinuity_sequence > m3u8.loads(before).discontinuity_sequence


def test_a_lap_is_a_discontinuity_and_never_corrupt_media(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks, slots=len(frames)) as publisher:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        packager.await_file(TRACK)
        packager.script.signal(signal.SIGSTOP)
        for seconds in (6, 12, 18):  # three times what the ring holds
            publish(publisher, again(clip, seconds))
        packager.script.signal(signal.SIGCONT)
        wait_until(lambda: packager.get(TRACK).text.count("DISCONTINUITY\n") == 1, what="the discontinuity")
        publish(publisher, again(clip, 24))
        publish(publisher, again(clip, 30))
    wait_until(lambda: "ENDLIST" in packager.get(TRACK).text, what="the end")
    assert "frames were overwritten before they were read" in packager.script.errors
    assert_pictures_whole(packager, frames)
    assert decoded(f"{packager.url}/{KEY}/index-ts.m3u8", "-live_start_index", "0") == ""


def assert_pictures_whole(packager: Packager, frames: list[FakeFrame]) -> None:
    """Every segment listed can be read by itself, and has no picture that was not published."""
    good = {packet.digest for packet in published(frames, 0, Fraction(1))}
    for segment in m3u8.loads(packager.get(TRACK).text).segments:
        init = packager.get(f"/{KEY}/{segment.init_section.uri}").body
        packets = packets_of(init + packager.get(f"/{KEY}/{segment.uri}").body)
        assert packets
        assert {packet.digest for packet in packets} <= good


def test_a_publisher_that_returns_is_a_discontinuity(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    packager = Packager(spawn, KEY)
    leaves = spawn(
        """
        import pickle, sys, os
        import arclyd
        from tests.e2e.packager import publish
        tracks, frames = pickle.load(open(sys.argv[2], "rb"))
        publisher = arclyd.Publisher(sys.argv[1], tracks=tracks)
        publish(publisher, frames)
        print("published", flush=True)
        sys.stdin.readline()
        """,
        KEY,
        pickled(clip, daemon.folder),
    )
    leaves.await_line("published")
    packager.await_file(TRACK)
    leaves.kill()
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        wait_until(lambda: packager.get(TRACK).text.count("DISCONTINUITY\n") == 1, what="the discontinuity")
        publish(publisher, again(clip, 6))
    wait_until(lambda: "ENDLIST" in packager.get(TRACK).text, what="the end")
    assert_pictures_whole(packager, frames)


def pickled(clip: Clip, folder: Path) -> Path:
    path = folder / "clip.pickle"
    path.write_bytes(pickle.dumps(clip))
    return path


def test_a_stream_that_ended_and_comes_again_goes_on_with_higher_numbers(
    daemon: Daemon, spawn: Spawner, clip: Clip
) -> None:
    tracks, frames = clip
    packager = Packager(spawn, KEY)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager.await_file(TRACK)
    wait_until(lambda: "ENDLIST" in packager.get(TRACK).text, what="the end")
    before = packager.get(TRACK).text
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        wait_until(lambda: "ENDLIST" not in packager.get(TRACK).text, what="the second stream")
        after = packager.get(TRACK).text
        # Who has the first one's last playlist still gets what that lists.
        for uri in re.findall(r"^[^#\s]\S*", before, re.MULTILINE) + re.findall(r'URI="(\w+\.mp4)"', before):
            assert packager.get(f"/{KEY}/{uri}").status == 200
    assert m3u8.loads(after).media_sequence > newest(before)
    assert not set(re.findall(r"\S+\.m4s", before)) & set(re.findall(r"\S+\.m4s", after))


def test_a_packager_that_was_kicked_comes_back_and_its_players_stay(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher, arclyd.connect() as control:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        before = packager.await_file(TRACK).text
        wait_until(lambda: "package.resume" in control.metadata(KEY).tags, what="the bookmark")
        (subscriber,) = control.subscribers(KEY)
        control.kick(KEY, subscriber.id)
        wait_until(
            lambda: [each.id for each in control.subscribers(KEY)] not in ([], [subscriber.id]), what="another one"
        )
        assert "ENDLIST" not in packager.get(TRACK).text
        publish(publisher, again(clip, 6))
        wait_until(lambda: newest(packager.get(TRACK).text) > newest(before), what="the next segment")
        assert whole(packager.get(TRACK).text)[: len(whole(before))] == whole(before)


def test_who_watches_without_end_is_told_when_nothing_comes_any_more(
    daemon: Daemon, spawn: Spawner, clip: Clip
) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher, arclyd.connect() as control:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        packager.await_file(TRACK)
        watching = Asking(packager, f"/{KEY}/live.ts")
        wait_until(lambda: control.metadata(KEY).tags.get("package.viewers") == "2", what="the watcher to be counted")
        (subscriber,) = control.subscribers(KEY)
        control.kick(KEY, subscriber.id)
        assert watching.answer().body  # it has ended


def test_a_packager_with_other_settings_gives_out_no_number_again(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher, arclyd.connect() as control:
        publish(publisher, frames)
        first = Packager(spawn, KEY)
        before = first.await_file(TRACK).text
        wait_until(lambda: "package.resume" in control.metadata(KEY).tags, what="the bookmark")
        first.script.kill()
        after = Packager(spawn, KEY, "--segment", "1").await_file(TRACK).text
    assert m3u8.loads(after).media_sequence > newest(before)
    assert not set(re.findall(r"\S+\.m4s", before)) & set(re.findall(r"\S+\.m4s", after))


def test_it_goes_on_without_its_daemon_and_with_the_next(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        before = newest(packager.await_file(TRACK).text)
        daemon.kill()
        publish(publisher, again(clip, 6))
        wait_until(lambda: newest(packager.get(TRACK).text) > before, what="segments without a daemon")
        daemon.start()
        with arclyd.connect() as control:
            wait_until(lambda: [stream.key for stream in control.list_streams()] == [KEY], what="the stream's adoption")
            wait_until(lambda: "package.resume" in control.metadata(KEY).tags, what="the new daemon to hear of it")


def test_streams_are_shown_as_the_renditions_they_are_named(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    """There is no stream of the name they are renditions of; sizes, rates and bandwidths are told as they are."""
    paths, now_ns = [make_clip(tmp_path, name) for name in ("h264_large_aac.mp4", "h264_aac.mp4")], time.time_ns()
    large, small = read_clip(paths[0], now_ns), read_clip(paths[1], now_ns - 1_000_000_000)  # begun a second earlier
    named = ("--rendition", "live/cam1~high=live/studio_a", "--rendition", "live/cam1~low=live/studio_b")
    packager = Packager(spawn, *named, "--directory", str(tmp_path / "www"))
    with publishing("live/studio_a", large[0]) as high, publishing("live/studio_b", small[0]) as low:
        publish(high, large[1])
        publish(low, small[1])
        for name in ("high", "low"):
            packager.await_file(f"/live/cam1~{name}/track-0.m3u8")
        text = packager.get("/live/cam1/index.m3u8").text
        manifest = packager.get("/live/cam1/manifest.mpd").text
        assert packager.get("/live/studio_a/index.m3u8").status == 404
        assert packager.get("/live/cam1/track-0.m3u8").status == 404
    variants = m3u8.loads(text).playlists
    assert [variant.uri for variant in variants] == ["../cam1~high/track-0.m3u8", "../cam1~low/track-0.m3u8"]
    told = [variant.stream_info for variant in variants]
    assert [(each.resolution, each.frame_rate) for each in told] == [((320, 240), 50.0), ((160, 120), 25.0)]
    assert all("avc1." in each.codecs and "mp4a.40.2" in each.codecs for each in told)
    for variant, name in zip(variants, ("high", "low"), strict=True):
        peaks = []
        for lane in (0, 1):
            listed = m3u8.loads(packager.get(f"/live/cam1~{name}/track-{lane}.m3u8").text).segments
            sizes = [
                (len(packager.get(f"/live/cam1~{name}/{each.uri}").body), each.duration) for each in listed if each.uri
            ]
            peaks.append(max(size * 8 / seconds for size, seconds in sizes))
        assert max(peaks) < variant.stream_info.bandwidth <= sum(peaks) * 1.05
    assert manifest.count("<Representation ") == 4
    assert 'media="../cam1~low/' in manifest
    wait_until(lambda: "ENDLIST" in packager.get("/live/cam1~low/track-0.m3u8").text, what="the end")
    assert decoded(f"{packager.url}/live/cam1/index.m3u8", "-live_start_index", "0") == ""


def test_streams_of_an_application_come_as_they_are_published_renditions_together(
    daemon: Daemon, spawn: Spawner, clip: Clip
) -> None:
    tracks, frames = clip
    packager = Packager(spawn, "--app", "live")
    keys = ["live/cam1", "live/cam1~low", "live/cam2", "other/cam3"]
    with publishing(keys[0], tracks) as one, publishing(keys[1], tracks) as low, publishing(keys[2], tracks) as two:
        for publisher in (one, low, two):
            publish(publisher, frames)
        for key in keys[:3]:
            packager.await_file(f"/{key}/track-0.m3u8")
        index = m3u8.loads(packager.get("/live/cam1/index.m3u8").text)
        assert [variant.uri for variant in index.playlists] == ["track-0.m3u8", "../cam1~low/track-0.m3u8"]
        assert packager.get("/live/cam1~low/track-0.m3u8").status == 200
        reports = m3u8.loads(packager.get("/live/cam1/track-0.m3u8").text).rendition_reports
        assert {report.uri for report in reports} == {
            "track-1.m3u8",
            "../cam1~low/track-0.m3u8",
            "../cam1~low/track-1.m3u8",
        }
        with publishing(keys[3], tracks) as elsewhere:
            publish(elsewhere, frames)
            assert packager.get(f"/{keys[3]}/index.m3u8").status == 404
