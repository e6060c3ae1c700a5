"""One process held at a named point of the core while another goes on: each order of events on purpose, not by luck."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from arclyd.errors import FrameOverwritten, PublisherClosed, RegionCorrupt
from arclyd.ring import region
from tests.stress.actors import AUDIO, VIDEO
from tests.stress.faults.building import points
from tests.stress.faults.puppet import Puppet
from tests.stress.faults.stage import SECOND, SOUND, Band, Heard, attach, everything_holds, listen

Region = Callable[..., str]
Puppets = Callable[..., Puppet]

READING = points("region.c", "reader.c")
WRITING = (*points("writer.c"), "copy.half", "copy.whole", "wake.bump")
CLAIMING = [point for point in WRITING if point.startswith(("claim.", "track."))]


# ------------------------------------------------------- a reader is held


def read_one(ring: Any, name: str) -> list[object]:
    """Frame 0, by a reader that asks for it by number."""
    item = ring.Reader(attach(ring, name), ("seq", 0)).recv(SECOND)
    if isinstance(item, ring.Gap):
        return ["gap", item.missed, item.resumed_at]
    try:
        return ["frame", item.seq, item.tobytes().hex()]
    except FrameOverwritten:
        return ["overwritten", item.seq]


@pytest.mark.parametrize("point", ["read.word", "read.fields", "read.fence", "read.checked", "intact.fence"])
@pytest.mark.parametrize("lapped", ["payload", "slots", "both"])
def test_a_reader_overtaken_between_copy_fence_and_check(
    ring: Any, make_region: Region, puppet: Puppets, point: str, lapped: str
) -> None:
    slots, ring_bytes = {"payload": (4096, 16 << 10), "slots": (16, 1 << 20), "both": (16, 16 << 10)}[lapped]
    name = make_region(ring_bytes, slots)
    band = Band(ring, name)
    band.begin()
    what = band.region.frame(0).tobytes().hex()
    held = puppet(lambda: read_one(ring, name), point).until(point)
    for _ in range(5):
        band.gop(size=900)
    told = held.result()
    assert told in (["frame", 0, what], ["overwritten", 0]) or told[0] == "gap"
    if lapped != "slots" or point in ("read.word", "read.fields", "read.fence"):
        assert told[0] != "frame", "validated though it was overwritten"
    if told[0] == "gap":
        assert told[1] == told[2]


def join_and_read(ring: Any, name: str) -> dict[str, object]:
    reader = ring.Reader(attach(ring, name))
    heard: Heard = listen(ring, reader, 10 * SECOND, from_key=True)
    return {"frames": heard.frames, "configs": heard.configs, "gaps": heard.gaps, "closed": reader.closed}


def change_configurations(ring: Any, name: str, band: Band) -> Band:
    for _ in range(70):  # a record lasts for 64 generations
        band.config(0)
    return band


def overtake(ring: Any, name: str, band: Band) -> Band:
    for _ in range(12):
        band.gop(size=1000)
    return band


def die_and_return(ring: Any, name: str, band: Band) -> Band:
    band.leave()
    band = Band(ring, name)
    band.begin()
    return band


def die_and_be_claimed(ring: Any, name: str, band: Band) -> Band:
    band.leave()
    return Band(ring, name)


DISTURBANCES = [change_configurations, overtake, die_and_return, die_and_be_claimed]


@pytest.mark.parametrize("disturb", DISTURBANCES, ids=lambda each: each.__name__)
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", [*READING, "intact.fence", "wait.sampled"])
def test_a_joiner_held_anywhere_while_the_stream_changes(
    ring: Any, make_region: Region, puppet: Puppets, point: str, nth: int, disturb: Callable[..., Band]
) -> None:
    name = make_region(32 << 10, 64)
    band = Band(ring, name)
    if point != "join.none":  # nothing can be joined yet
        band.begin()
        band.gop()
    ends = point == "rest.over"
    if ends:
        band.writer.end()
    # About to sleep: the point was not passed so often.
    held = puppet(lambda: join_and_read(ring, name), (point, nth), "wait.sampled")
    assert held.at() in (point, "wait.sampled", *(("done",) if ends else ()))
    if not ends:
        band = disturb(ring, name, band)
        if disturb is die_and_be_claimed or point == "join.none":
            band.config(SOUND)
            band.config(0)
        band.gop()
        band.frame(0)
        band.writer.end()
    told = held.result()
    assert told["closed"] == ring.CLOSED_ENDED
    frames, missed = told["frames"], sum(each[0] for each in told["gaps"])
    assert frames[-1] == band.region.head - 1
    assert frames[-1] - frames[0] + 1 == len(frames) + missed, "a frame is neither delivered nor counted as missed"


def next_frame(ring: Any, name: str) -> int:
    """The next frame there is, waited for without a limit; its sequence."""
    reader = ring.Reader(attach(ring, name), ("live", 0))
    while (frame := reader.recv(-1)).is_config:
        pass  # in force where reading begins
    return int(frame.seq)


def test_a_frame_published_between_looking_and_sleeping_is_not_slept_through(
    ring: Any, make_region: Region, puppet: Puppets
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    forever = puppet(lambda: next_frame(ring, name), "wait.sampled")
    forever.until("wait.sampled")
    band.frame(0)
    assert forever.result() == band.region.head - 1


@pytest.mark.parametrize("point", ["head", "counters", "wake.bump"])
def test_a_writer_killed_before_it_wakes_anybody_leaves_nobody_asleep(
    ring: Any, make_region: Region, puppet: Puppets, point: str
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    head = band.region.head
    asleep = puppet(lambda: next_frame(ring, name), "wait.sampled")
    asleep.until("wait.sampled").go()
    puppet(lambda: band.frame(0), point).until(point).kill()
    assert asleep.until("done").result() == head


def test_the_last_frame_and_the_end_come_between_two_looks(ring: Any, make_region: Region, puppet: Puppets) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    held = puppet(lambda: join_and_read(ring, name), "rest.enter").until("rest.enter")
    band.frame(0)
    band.writer.end()
    told = held.result()
    assert told["frames"][-1] == band.region.head - 1
    assert told["closed"] == ring.CLOSED_ENDED


# -------------------------------------------------------- the writer is held


def one_of_everything(band: Band) -> None:
    """A keyframe, sound, a picture, configurations (the other one's is renewed on the way), the end."""
    band.gop(3)
    for _ in range(64):
        band.config(0)
    band.gop(2)
    band.writer.end()


def test_readers_and_joiners_at_every_step_of_the_writer(ring: Any, make_region: Region, puppet: Puppets) -> None:
    name = make_region(16 << 10, 64)  # so small that frames are written over frames
    first = Band(ring, name)
    first.begin()
    first.leave()
    attached = attach(ring, name)
    witness, heard, watermark = ring.Reader(attached, ("seq", 0)), 0, 0

    def play() -> None:
        band = Band(ring, name)
        band.config(SOUND)
        band.config(0)
        one_of_everything(band)

    steps: dict[str, int] = {}
    for place in puppet(play, ("*", 0)).each():
        steps[place] = steps.get(place, 0) + 1
        if steps[place] > 40 and steps[place] % 16:  # the same thing over and over
            continue
        everything_holds(ring, attached)
        heard += len(listen(ring, witness, 0, from_key=False).frames)
        assert attached.counters().reserved_pos >= watermark
        watermark = attached.counters().reserved_pos
        assert heard in (attached.head, attached.head + 1)
    assert steps.keys() - set(READING) == set(WRITING)  # a claim reads what the one before left
    assert heard == attached.head
    assert witness.missed == 0
    assert witness.closed == ring.CLOSED_ENDED


@pytest.mark.parametrize("point", CLAIMING)
def test_a_second_claimant_while_the_first_is_in_the_middle_of_its_claim(
    ring: Any, make_region: Region, puppet: Puppets, point: str
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    epoch, head = band.region.epoch, band.region.head
    band.leave()
    first = puppet(lambda: Band(ring, name).begin(), point).until(point)
    fd = region.open_writable(name)
    try:
        assert not region.lock(fd), "two writers hold the lock"
        first.stop()
        assert not region.lock(fd), "a stopped writer does not own its ring any more"
        assert region.lock_held(fd)
        first.kill()
        assert not region.lock_held(fd)
    finally:
        os.close(fd)
    second = Band(ring, name)
    assert second.writer.epoch == epoch + (1 if point == "claim.recovered" else 2)
    assert second.region.head == head
    second.begin()
    heard = listen(ring, ring.Reader(attach(ring, name), ("seq", 0)), 0, from_key=False)
    assert heard.frames == list(range(second.region.head))
    assert set(heard.epochs) == {epoch, second.writer.epoch}
    second.leave()


def told(attached: Any) -> list[tuple[object, ...]]:
    return [(track.id, track.kind, track.codec, track.time_base) for track in attached.tracks()]


def claim_with(ring: Any, name: str, tracks: list[tuple[object, ...]]) -> None:
    fd = region.open_writable(name)
    try:
        assert region.lock(fd)
        ring.Writer(ring.Region(fd, writable=True), tracks).detach()
    finally:
        region.unlock(fd)
        os.close(fd)


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point", [*CLAIMING, *(point for point in WRITING if point.startswith("config."))])
def test_what_the_tracks_are_can_be_told_wherever_the_writer_died(
    ring: Any, make_region: Region, puppet: Puppets, point: str, nth: int
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    band.leave()

    def play() -> None:
        for _ in range(3):
            returned = Band(ring, name)
            returned.begin()
            returned.leave()

    puppet(play, (point, nth)).until(point).kill()
    attached = attach(ring, name)
    assert told(attached) == [(0, *VIDEO[:3]), (1, *AUDIO[:3])]
    everything_holds(ring, attached)
    assert listen(ring, ring.Reader(attached), 0, from_key=True).frames, "what the dead writer left can't be joined"
    for other in ([VIDEO], [AUDIO, VIDEO], [VIDEO, AUDIO, AUDIO]):
        with pytest.raises(RegionCorrupt, match="other tracks"):
            claim_with(ring, name, other)
    claim_with(ring, name, [VIDEO, AUDIO])


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("point", CLAIMING)
def test_a_first_claim_that_was_not_finished_binds_nobody(
    ring: Any, make_region: Region, puppet: Puppets, point: str, nth: int
) -> None:
    name = make_region()
    nth = nth if point.startswith("track.") else 1
    puppet(lambda: claim_with(ring, name, [VIDEO, AUDIO]), (point, nth)).until(point).kill()
    attached = attach(ring, name)
    if point == "claim.state":
        assert told(attached) == [(0, *VIDEO[:3]), (1, *AUDIO[:3])]
        return
    assert told(attached) == []
    claim_with(ring, name, [AUDIO])
    assert told(attached) == [(0, *AUDIO[:3])]


@pytest.mark.parametrize("point", ["track.busy", "track.fields"])
def test_a_second_picture_track_begins_with_its_own_keyframe_though_its_entry_is_being_written(
    ring: Any, make_region: Region, puppet: Puppets, point: str
) -> None:
    name = make_region()
    band = Band(ring, name, [VIDEO, VIDEO])
    for track in (0, 1):
        band.config(track)
    for track in (0, 1, 0):
        band.frame(track, keyframe=True)
    joined_at = band.region.head - 1

    def play() -> None:
        band.config(1)
        for keyframe in (False, False, True, False):
            band.frame(1, keyframe=keyframe)

    writer = puppet(play, point).until(point)
    writer.stop()
    reader = ring.Reader(attach(ring, name))
    got = listen_to_all(reader)
    os.kill(writer.pid, signal.SIGCONT)
    writer.result()
    frames = [item for item in (*got, *listen_to_all(reader)) if not item.is_config]
    assert frames[0].seq == joined_at
    pictures = [(item.seq, item.keyframe) for item in frames if item.track == 1]
    assert pictures == [(joined_at + 4, True), (joined_at + 5, False)], "a picture came before its track's keyframe"


def listen_to_all(reader: Any) -> list[Any]:
    got = []
    while (item := reader.recv(0)) is not None:
        got.append(item)
    return got


def test_a_gop_whose_configuration_is_gone_is_not_joined_while_the_next_writer_has_none(
    ring: Any, make_region: Region
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    for _ in range(64):
        band.config(0)
    band.leave()
    band = Band(ring, name)
    attached = attach(ring, name)
    joiners = [ring.Reader(attached, (start, 0)) for start in ("keyframe", "oldest")]
    assert [joiner.recv(0) for joiner in joiners] == [None, None]
    band.begin()
    for joiner in joiners:
        assert listen(ring, joiner, 0, from_key=True).frames == list(range(band.region.head - 6, band.region.head))
    band.leave()


@pytest.mark.parametrize("point", ["end.enter", "end.state"])
def test_a_writer_killed_while_it_ends_the_stream(ring: Any, make_region: Region, puppet: Puppets, point: str) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    head = band.region.head
    reading = puppet(lambda: join_and_read(ring, name), "wait.sampled").until("wait.sampled")
    dying = puppet(band.writer.end, point).until(point)
    dying.kill()
    band.leave()
    if point == "end.enter":  # nobody was told: the stream is interrupted, and goes on
        band = Band(ring, name)
        band.begin()
        head = band.region.head
        band.writer.end()
    else:
        with pytest.raises(PublisherClosed):
            Band(ring, name)
    told = reading.result()
    assert told["closed"] == ring.CLOSED_ENDED
    assert told["frames"][-1] == head - 1


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", ["announce.busy", "copy.half", "slot.fields", "slot.word", "gop.busy", "gop.word"])
def test_a_writer_that_stands_in_the_middle_of_a_frame_holds_nobody_up(
    ring: Any, make_region: Region, puppet: Puppets, point: str, nth: int
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()
    held = puppet(lambda: [band.gop() for _ in range(2)] and band.writer.end(), (point, nth)).until(point)
    held.stop()
    attached = attach(ring, name)
    everything_holds(ring, attached)
    reader = ring.Reader(attached, ("seq", 0))
    before = listen(ring, reader, 0, from_key=False)
    assert before.frames == list(range(len(before.frames)))
    assert len(before.frames) - attached.head in (0, 1)
    os.kill(held.pid, signal.SIGCONT)  # the frame is finished as if nothing had been
    held.result()
    after = listen(ring, reader, SECOND, from_key=False)
    assert before.frames + after.frames == list(range(attached.head))
    assert reader.closed == ring.CLOSED_ENDED
