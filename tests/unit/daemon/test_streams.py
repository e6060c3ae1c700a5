"""The registry over time: reaping, kicking, activities, subscribers."""

from __future__ import annotations

import pytest

from arclyd.control.messages import Report, Subscribe
from arclyd.daemon.attachments import Attachments
from arclyd.daemon.config import AppConfig, Config
from arclyd.daemon.stream import Phase
from arclyd.errors import RegionCorrupt, RequestRefused, StreamNotFound, SubscriberNotFound
from arclyd.ring import _ring
from tests.unit.daemon.fakes import FakeHandle, World, at, party
from tests.unit.daemon.test_claims import begin


def test_the_reaper_counts_a_claim_as_activity_and_ends_what_is_silent() -> None:
    world = World(Config(default=AppConfig(idle_timeout=5)))
    handle = begin(world, when=10)
    world.streams.tick(at(14.9))
    assert handle.closed is None
    handle.last_publish_ns = at(14).ns
    world.streams.tick(at(18.9))
    assert handle.closed is None
    world.streams.tick(at(19))
    assert handle.closed == _ring.CLOSED_REAPED
    assert [(o.what, o.reason) for _, o in world.courier.orders] == [("end", "reaped")]
    assert "reaped" in world.kinds


def test_without_an_idle_timeout_nothing_is_reaped() -> None:
    world = World()
    handle = begin(world)
    world.streams.tick(at(1e6))
    assert handle.closed is None


def test_kicking_the_publisher_interrupts_the_stream_and_revokes_its_epoch() -> None:
    world = World()
    handle = begin(world)
    world.streams.kick("live/a", 0, party(9), at(1))
    assert (handle.granted, world.streams.get("live/a").phase) == (2, Phase.INTERRUPTED)
    assert [(conn, order.what) for conn, order in world.courier.orders] == [(1, "kicked")]
    with pytest.raises(RequestRefused):
        world.streams.kick("live/a", 0, party(9), at(1))


def test_kicking_a_subscriber_orders_it_off() -> None:
    world = World()
    begin(world)
    grant, _ = Attachments(world.streams).subscribe(party(3), Subscribe("live/a"), at(1))
    world.streams.kick("live/a", grant.subscriber_id, party(9), at(1))
    assert [(c, o.what, o.subscriber_id) for c, o in world.courier.orders] == [(3, "kicked", grant.subscriber_id)]
    with pytest.raises(SubscriberNotFound):
        world.streams.kick("live/a", 99, party(9), at(1))
    with pytest.raises(StreamNotFound):
        world.streams.kick("live/b", 1, party(9), at(1))


def test_activities_are_counted_by_connection_and_go_with_it() -> None:
    world = World()
    begin(world)
    stream = world.streams.get("live/a")
    for conn in (5, 5, 6):
        world.streams.set_activity("live/a", "recording", party(conn), at(1), on=True)
    assert stream.active("recording") == 3
    assert stream.words(0, at(1).ns) == ("publishing", "recording")
    world.streams.set_activity("live/a", "recording", party(6), at(1), on=False)
    world.streams.set_activity("live/a", "recording", party(6), at(1), on=False)  # one too many takes nobody else's
    assert stream.active("recording") == 2
    world.streams.disconnect(5, at(2))
    assert stream.active("recording") == 0
    assert [k for k in world.kinds if k.startswith("activity")] == ["activity_started", "activity_ended"]
    with pytest.raises(RequestRefused):
        world.streams.set_activity("live/a", "baking", party(5), at(1), on=True)


def test_state_words() -> None:
    world = World()
    handle = begin(world)
    stream = world.streams.get("live/a")
    handle.last_publish_ns = at(1).ns
    assert stream.words(handle.last_publish_ns, at(2).ns) == ("publishing",)
    assert stream.words(handle.last_publish_ns, at(4).ns) == ("idle", "publishing")
    handle.has_ended = True
    assert "ended" in stream.words(handle.last_publish_ns, at(2).ns)
    handle.has_ended = handle.locked = False
    world.streams.tick(at(5))
    assert stream.words(handle.last_publish_ns, at(5).ns) == ("interrupted",)


def test_subscribers_are_counted_in_the_region_and_leave_with_their_connection() -> None:
    world = World()
    handle = begin(world)
    attachments = Attachments(world.streams)
    grants = [attachments.subscribe(party(conn), Subscribe("live/a"), at(1)) for conn in (3, 4, 5)]
    assert handle.subscribers == 3
    attachments.unsubscribe(party(3), grants[0][0].subscriber_id, "left", at(2))
    attachments.disconnect(4, at(2))
    assert handle.subscribers == 1
    assert world.kinds.count("left") == 2
    with pytest.raises(RequestRefused):  # another connection's
        attachments.unsubscribe(party(3), grants[2][0].subscriber_id, "left", at(2))
    with pytest.raises(RequestRefused):
        attachments.unsubscribe(party(5), grants[2][0].subscriber_id, "bored", at(2))
    attachments.unsubscribe(party(5), grants[2][0].subscriber_id, "evicted", at(2))
    assert world.kinds[-1] == "evicted"


def test_a_subscriber_that_has_the_region_mapped_gets_no_descriptor() -> None:
    world = World()
    handle = begin(world)
    attachments = Attachments(world.streams)
    assert attachments.subscribe(party(3), Subscribe("live/a", resume=handle.region_id), at(1))[1] is None
    assert attachments.subscribe(party(4), Subscribe("live/a", resume="another"), at(1))[1] is handle


def test_a_report_tells_of_a_gap_once() -> None:
    world = World()
    handle = begin(world)
    attachments = Attachments(world.streams)
    grant, _ = attachments.subscribe(party(3), Subscribe("live/a"), at(1))
    for dropped in (0, 4, 4, 6):
        attachments.report(party(3), Report(grant.subscriber_id, 5, dropped), at(2))
    told = [event.facts["missed"] for event in world.events.since(1) if event.kind == "gap"]
    assert told == [4, 2]
    seat = world.streams.subscribers.find(handle.region_id, grant.subscriber_id)
    assert seat is not None
    assert (seat.cursor, seat.dropped) == (5, 6)
    with pytest.raises(RequestRefused):
        attachments.report(party(3), Report(grant.subscriber_id, -1, 0), at(2))


def test_a_report_after_the_end_is_taken_in_silence() -> None:
    world = World()
    begin(world)
    attachments = Attachments(world.streams)
    grant, _ = attachments.subscribe(party(3), Subscribe("live/a"), at(1))
    world.streams.end("live/a", party(9), at(2))
    attachments.report(party(3), Report(grant.subscriber_id, 5, 3), at(2))
    attachments.unsubscribe(party(3), grant.subscriber_id, "ended", at(2))
    assert world.kinds[-1] == "left"


def test_keyframe_requests_reach_the_region_every_time_and_the_log_once_a_second() -> None:
    world = World()
    handle = begin(world)
    attachments = Attachments(world.streams)
    for when in (1, 1.1, 1.2, 2.5):
        attachments.request_keyframe("live/a", party(3), at(when))
    assert (handle.keyframes_asked, world.kinds.count("keyframe_requested")) == (4, 2)


def test_a_region_that_turns_out_corrupt_ends_its_stream_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    bad, good = begin(world, 1, "live/a"), begin(world, 2, "live/b")

    def corrupt() -> bool:
        raise RegionCorrupt("head", "beyond reason")

    monkeypatch.setattr(bad, "writer_lives", corrupt)
    world.streams.tick(at(1))
    assert bad.closed == _ring.CLOSED_REFUSED
    assert isinstance(good, FakeHandle)
    assert good.closed is None
    assert [stream.key for stream in world.streams] == ["live/b"]


def test_metadata_is_merged_and_a_tag_set_to_nothing_goes() -> None:
    world = World()
    begin(world, metadata={"tags": {"camera": "north", "take": "1"}, "width": 640})
    world.streams.set_metadata("live/a", {"tags": {"take": "", "lens": "50"}, "publisher_addr": "10.0.0.1"}, at(1))
    said = world.streams.get("live/a").metadata
    assert (said.tags, said.width, said.publisher_addr) == ({"camera": "north", "lens": "50"}, 640, "10.0.0.1")
    with pytest.raises(RequestRefused):
        world.streams.set_metadata("live/a", {"key": "live/b"}, at(1))
