"""Who may publish a key, with time passed in and no shared memory."""

from __future__ import annotations

import dataclasses

import pytest

from arclyd.daemon.claims import Claims
from arclyd.daemon.config import AppConfig, Config
from arclyd.daemon.stream import Granted, Phase
from arclyd.errors import (
    AlreadyPublishing,
    ArclydError,
    InvalidKey,
    MemoryBudget,
    NoSpace,
    PublisherLimit,
    RequestRefused,
)
from arclyd.ring import _ring
from tests.unit.daemon.fakes import AUDIO, VIDEO, FakeHandle, World, at, claim_of, party


def begin(world: World, conn: int = 1, key: str = "live/a", when: float = 0, **more: object) -> FakeHandle:
    """A publisher that claims, takes the lock and confirms."""
    claims = Claims(world.streams)
    granted = claims.publish(party(conn), 1, claim_of(key, **more), at(when))
    assert granted is not None
    handle = granted.handle
    assert isinstance(handle, FakeHandle)
    handle.write((VIDEO,))
    claims.confirm(party(conn), key, handle.region_id, granted.grant.epoch, at(when))
    return handle


def test_claim_grants_epoch_one_of_a_new_region_and_confirming_it_publishes() -> None:
    world = World()
    handle = begin(world)
    stream = world.streams.get("live/a")
    assert (stream.phase, handle.granted, handle.epoch) == (Phase.PUBLISHING, 1, 1)
    assert world.kinds == ["publish_started"]


def test_of_a_hundred_claims_one_wins() -> None:
    world, claims = World(), None
    claims = Claims(world.streams)
    won = lost = 0
    for conn in range(1, 101):
        try:
            claims.publish(party(conn), 1, claim_of(), at(0))
            won += 1
        except AlreadyPublishing as error:
            lost += error.pid == 101
    assert (won, lost, len(world.store.made)) == (1, 99, 1)


@pytest.mark.parametrize("key", ["../x", "a", "a/b/c", "", "a/ b", "a/" + "b" * 300, "a/.b", "a/b~", "a/b~c~d"])
def test_a_claim_of_no_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidKey):
        Claims(World().streams).publish(party(1), 1, claim_of(key), at(0))


@pytest.mark.parametrize(
    "claim",
    [
        claim_of(tracks=()),
        claim_of(tracks=(VIDEO,) * 17),
        claim_of(tracks=(dataclasses.replace(VIDEO, kind="smell"),)),
        claim_of(tracks=(dataclasses.replace(VIDEO, codec=256),)),
        claim_of(tracks=(dataclasses.replace(VIDEO, time_base=(1, 0)),)),
        claim_of(tracks=(dataclasses.replace(VIDEO, width=1 << 32),)),
        claim_of(tracks=(dataclasses.replace(VIDEO, time_base=(-1, 5)),)),
        claim_of(on_taken="steal"),
        claim_of(slots=1),
        claim_of(ring_bytes=1),
        claim_of(ring_bytes=1 << 60),
        claim_of(metadata={"colour": "red"}),
        claim_of(metadata={"width": "wide"}),
        claim_of(metadata={"tags": {"a": 1}}),
        claim_of(metadata={"tags": {"a": "x" * 2000}}),
    ],
)
def test_a_senseless_claim_is_refused_and_leaves_nothing(claim: object) -> None:
    world = World()
    with pytest.raises(RequestRefused):
        Claims(world.streams).publish(party(1), 1, claim, at(0))  # type: ignore[arg-type]
    assert (len(world.streams), world.store.made) == (0, [])


def test_publisher_limit_is_over_all_apps_and_an_interrupted_stream_does_not_count() -> None:
    world = World(Config(max_publishers=2))
    first = begin(world, 1, "live/a")
    begin(world, 2, "vod/b")
    with pytest.raises(PublisherLimit):
        begin(world, 3, "news/c")
    first.locked = False
    world.streams.disconnect(1, at(1))
    begin(world, 3, "news/c", when=1)
    with pytest.raises(PublisherLimit):  # and so its return may have to wait
        Claims(world.streams).publish(party(4), 1, claim_of("live/a"), at(2))


def test_memory_budget_and_full_memory_refuse_and_leave_nothing() -> None:
    world = World(Config(memory_budget=6 << 20))
    begin(world, 1, "live/a", ring_bytes=2 << 20)
    with pytest.raises(MemoryBudget) as refused:
        begin(world, 2, "live/b", ring_bytes=2 << 20)
    assert refused.value.used == world.store.made[0].size
    world.config = Config()
    world.streams.config = Config()
    world.store.room = 1 << 20
    with pytest.raises(NoSpace):
        begin(world, 2, "live/b", ring_bytes=2 << 20)
    assert [stream.key for stream in world.streams] == ["live/a"]


def test_lost_lock_interrupts_for_the_grace_time_then_ends_as_publisher_gone() -> None:
    world = World(Config(default=AppConfig(grace=3)))
    handle = begin(world)
    handle.locked = False
    world.streams.disconnect(1, at(1))
    assert world.streams.get("live/a").phase is Phase.INTERRUPTED
    world.streams.tick(at(3.9))
    assert handle.closed is None
    world.streams.tick(at(4))
    assert handle.closed == _ring.CLOSED_PUBLISHER_GONE
    assert handle.released
    assert world.streams.find("live/a") is None
    assert world.kinds == ["publish_started", "publish_interrupted", "publish_ended"]


def test_a_stopped_publisher_keeps_its_stream_though_its_connection_is_gone() -> None:
    world = World(Config(default=AppConfig(grace=1)))
    begin(world)
    world.streams.disconnect(1, at(1))
    world.streams.tick(at(100))
    stream = world.streams.get("live/a")
    assert stream.phase is Phase.PUBLISHING
    assert stream.publisher is not None
    assert not stream.publisher.connected
    with pytest.raises(AlreadyPublishing):
        Claims(world.streams).publish(party(2), 1, claim_of(), at(100))


def test_a_lock_that_is_let_go_after_the_connection_is_noticed_by_the_next_tick() -> None:
    world = World()
    handle = begin(world)
    world.streams.disconnect(1, at(1))
    handle.locked = False
    world.streams.tick(at(1.1))
    assert world.streams.get("live/a").phase is Phase.INTERRUPTED


def test_the_next_publisher_re_claims_the_region_and_sequences_go_on() -> None:
    world = World()
    handle = begin(world)
    handle.locked = False
    world.streams.disconnect(1, at(1))
    again = begin(world, 2, when=2)
    assert again is handle
    assert (handle.epoch, handle.head, len(world.store.made)) == (2, 20, 1)
    assert world.kinds[-1] == "publish_resumed"


@pytest.mark.parametrize("more", [{"tracks": (VIDEO, AUDIO)}, {"ring_bytes": 48 << 20}, {"slots": 1 << 14}])
def test_other_tracks_or_a_larger_ring_get_a_region_that_succeeds_the_old(more: dict[str, object]) -> None:
    world = World()
    old = begin(world)
    old.locked = False
    world.streams.disconnect(1, at(1))
    table = world.streams.subscribers
    subscriber = table.add(old, 7, party(7).peer, "r", now_ns=0, now_ms=0)  # type: ignore[arg-type]
    new = begin(world, 2, when=2, **more)
    assert old.closed == _ring.CLOSED_SUPERSEDED
    assert (new.base_seq, new.epoch > old.epoch) == (old.head, True)
    assert [(conn, order.what, order.subscriber_id) for conn, order in world.courier.orders] == [
        (7, "superseded", subscriber.id)
    ]
    assert new.subscribers == 1, "readers on their way over are still counted"
    world.streams.tick(at(5))
    assert new.subscribers == 0


LARGE = {"ring_bytes": 1 << 30}


def test_large_regions_are_reserved_aside_and_of_a_hundred_claims_one_wins() -> None:
    world = World()
    claims = Claims(world.streams)
    for conn in range(1, 101):
        assert claims.publish(party(conn), conn, claim_of(**LARGE), at(0)) is None
    assert claims.publish(party(200), 200, claim_of("live/small"), at(0)) is not None
    assert claims.settle(at(0.1)) == []
    assert claims.waiting
    assert len(world.store.reserving) == 1, "memory for more than one claim at a time"
    assert world.store.made[0].key == "live/small"
    world.store.reserving[0].set_result("memory")
    answers = {claim.token: answer for claim, answer in claims.settle(at(0.2))}
    assert isinstance(answers.pop(1), Granted)
    assert len(answers) == 99
    assert all(isinstance(answer, AlreadyPublishing) for answer in answers.values())
    assert (claims.waiting, len(world.store.reserving), len(world.store.made)) == (False, 1, 2)


def test_large_regions_of_several_keys_are_reserved_one_after_the_other() -> None:
    world = World()
    claims = Claims(world.streams)
    for conn in (1, 2, 3):
        assert claims.publish(party(conn), conn, claim_of(f"live/{conn}", **LARGE), at(0)) is None
    claims.disconnect(1)  # what is being reserved for it is given back, and only then the next is begun
    assert claims.settle(at(0.1)) == claims.settle(at(0.2)) == []
    assert len(world.store.reserving) == 1
    world.store.reserving[0].set_result("memory")
    assert claims.settle(at(0.3)) == claims.settle(at(0.4)) == []
    assert len(world.store.reserving) == 2
    world.store.reserving[1].set_result("memory")
    ((claim, answer),) = claims.settle(at(0.5))
    assert (claim.token, type(answer)) == (2, Granted)
    assert len(world.store.reserving) == 3
    world.store.reserving[2].set_exception(NoSpace(1 << 30, 1))
    ((claim, answer),) = claims.settle(at(0.6))
    assert (claim.token, type(answer)) == (3, NoSpace)
    assert [handle.key for handle in world.store.made] == ["live/2"]
    assert not claims.waiting


def test_a_large_region_that_succeeds_another_is_reserved_aside_too() -> None:
    world = World()
    claims = Claims(world.streams)
    old = begin(world)
    old.locked = False
    world.streams.disconnect(1, at(1))
    assert claims.publish(party(2), 7, claim_of(**LARGE), at(2)) is None
    assert (claims.settle(at(2.1)), old.closed) == ([], None)
    with pytest.raises(AlreadyPublishing):
        claims.publish(party(3), 8, claim_of(), at(2.2))
    world.store.reserving[0].set_result("memory")
    ((claim, granted),) = claims.settle(at(2.3))
    assert isinstance(granted, Granted)
    assert (claim.token, old.closed, granted.handle.base_seq) == (7, _ring.CLOSED_SUPERSEDED, old.head)  # type: ignore[union-attr]
    assert not claims.waiting


def test_replace_orders_the_old_publisher_off_and_waits_for_its_lock() -> None:
    world = World()
    claims = Claims(world.streams)
    old = begin(world)
    assert claims.publish(party(2), 77, claim_of(on_taken="replace"), at(1)) is None
    assert (old.granted, [(c, o.what) for c, o in world.courier.orders]) == (2, [(1, "replaced")])
    assert claims.settle(at(1.5)) == []
    with pytest.raises(AlreadyPublishing):  # one waits; no queue forms behind it
        claims.publish(party(3), 1, claim_of(on_taken="replace"), at(1.6))
    old.locked = False
    ((claim, granted),) = claims.settle(at(1.7))
    assert isinstance(granted, Granted)
    assert (claim.token, granted.handle, granted.grant.epoch) == (77, old, 2)
    assert len(world.store.made) == 1


def test_replace_of_a_stopped_publisher_leaves_it_the_old_region() -> None:
    world = World()
    claims = Claims(world.streams)
    old = begin(world)
    claims.publish(party(2), 77, claim_of(on_taken="replace"), at(1))
    assert claims.settle(at(2.9)) == []
    ((_, granted),) = claims.settle(at(3.1))
    assert isinstance(granted, Granted)
    new = granted.handle
    assert isinstance(new, FakeHandle)
    assert new is not old
    assert old.closed == _ring.CLOSED_SUPERSEDED
    assert new.base_seq == old.head + 1, "the frame it may be amid keeps its number"


def test_replace_by_the_applications_policy() -> None:
    world = World(Config(apps={"live": AppConfig(on_taken="replace")}))
    begin(world)
    assert Claims(world.streams).publish(party(2), 1, claim_of(), at(1)) is None


def test_a_waiting_claim_whose_connection_goes_is_forgotten() -> None:
    world = World()
    claims = Claims(world.streams)
    old = begin(world)
    claims.publish(party(2), 1, claim_of(on_taken="replace"), at(1))
    world.streams.disconnect(2, at(1.2))
    assert not claims.waiting
    old.locked = False
    world.streams.tick(at(1.3))
    assert claims.settle(at(1.3)) == []
    assert world.streams.get("live/a").phase is Phase.INTERRUPTED


def test_a_waiting_claim_gets_a_new_region_when_the_old_publisher_ends_its_stream() -> None:
    world = World()
    claims = Claims(world.streams)
    old = begin(world)
    claims.publish(party(2), 1, claim_of(on_taken="replace"), at(1))
    old.has_ended, old.locked = True, False
    claims.end(party(1), "live/a", at(1.1))
    ((_, granted),) = claims.settle(at(1.2))
    assert isinstance(granted, Granted)
    assert granted.handle is not old
    assert old.closed == _ring.CLOSED_SUPERSEDED


def test_a_waiting_claim_is_refused_when_an_operator_ends_the_stream() -> None:
    world = World()
    claims = Claims(world.streams)
    begin(world)
    claims.publish(party(2), 1, claim_of(on_taken="replace"), at(1))
    world.streams.end("live/a", party(9), at(1.1))
    ((claim, refusal),) = claims.settle(at(1.2))
    assert claim.party.conn == 2
    assert isinstance(refusal, ArclydError)
    assert len(world.streams) == 0


def test_an_unconfirmed_claim_is_given_up_and_the_key_is_free() -> None:
    world = World()
    claims = Claims(world.streams)
    claims.publish(party(1), 1, claim_of(), at(0))
    world.streams.tick(at(4.9))
    assert len(world.streams) == 1
    world.streams.tick(at(5))
    assert len(world.streams) == 0
    assert world.store.made[0].closed == _ring.CLOSED_PUBLISHER_GONE


def test_an_unconfirmed_re_claim_leaves_the_stream_interrupted_as_it_was() -> None:
    world = World(Config(default=AppConfig(grace=8)))
    handle = begin(world)
    handle.locked = False
    world.streams.disconnect(1, at(1))
    Claims(world.streams).publish(party(2), 1, claim_of(), at(2))
    world.streams.disconnect(2, at(3))
    stream = world.streams.get("live/a")
    assert stream.phase is Phase.INTERRUPTED
    world.streams.tick(at(9.1))
    assert handle.closed == _ring.CLOSED_PUBLISHER_GONE, "the grace time runs from the first interruption"


def test_confirming_without_the_lock_or_by_another_is_refused() -> None:
    world = World()
    claims = Claims(world.streams)
    granted = claims.publish(party(1), 1, claim_of(), at(0))
    assert granted is not None
    region_id = granted.grant.region_id
    with pytest.raises(RequestRefused, match="lock"):
        claims.confirm(party(1), "live/a", region_id, 1, at(0))
    world.store.made[0].write((VIDEO,))
    with pytest.raises(RequestRefused, match="another"):
        claims.confirm(party(2), "live/a", region_id, 1, at(0))
    with pytest.raises(RequestRefused):
        claims.confirm(party(1), "live/a", region_id, 2, at(0))
    claims.confirm(party(1), "live/a", region_id, 1, at(0))
    claims.confirm(party(1), "live/a", region_id, 1, at(0))  # idempotent
    assert world.kinds == ["publish_started"]


def test_a_publisher_resumes_with_its_lock_and_gets_no_descriptor() -> None:
    world = World()
    handle = begin(world)
    world.streams.disconnect(1, at(1))
    claim = claim_of(resume=handle.region_id, metadata={"ingest_protocol": "file"})
    granted = Claims(world.streams).publish(party(5, pid=101), 1, claim, at(2))
    assert granted is not None
    assert (granted.handle, granted.grant.epoch) == (None, 1)
    stream = world.streams.get("live/a")
    assert stream.published_by(5)
    assert stream.metadata.ingest_protocol == "file"


def test_ending_twice_and_by_a_stranger() -> None:
    world = World()
    claims = Claims(world.streams)
    handle = begin(world)
    claims.end(party(2), "live/a", at(1))
    assert handle.closed is None
    claims.end(party(1), "live/a", at(1))
    claims.end(party(1), "live/a", at(1))
    assert handle.closed == _ring.CLOSED_ENDED
    assert world.kinds == ["publish_started", "publish_ended"]
