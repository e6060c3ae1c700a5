"""A publisher returns, is replaced, or has others standing by: readers read on, and what they read is of one cast."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.client.claim import Terms
from arclyd.client.exchange import Exchange
from tests.daemon import Spawner
from tests.e2e.reading import VIDEO_CONFIG, dense
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon import Daemon, Script

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"

CAST = """
    import sys, time
    import arclyd

    # One of several publishers: NAME, CODEC, keyword arguments. Each payload says whose it is and which.
    name, codec, options = sys.argv[1:4]
    tracks = [arclyd.Track.video(codec, config=bytes.fromhex(sys.argv[4]), width=1280, height=720),
              arclyd.Track.audio("opus", config=b"sound of " + name.encode(), sample_rate=48000, channels=2)]
    try:
        with arclyd.Publisher("live/cam1", tracks, **eval(options)) as pub:
            print("publishing", pub.epoch)
            n = 0
            while True:
                n += 1  # the first pictures are none that one could begin with
                pub.publish(0, b"%s %d" % (name.encode(), n), pts=n * 90, keyframe=n % 10 == 0)
                pub.publish(1, b"%s %d" % (name.encode(), n), pts=n * 48)
                if n == 100:
                    print("flowing")
                time.sleep(0.001)
    except arclyd.PublisherReplaced:
        print("replaced", n)
"""

WITNESS = """
    import asyncio, json, sys
    import arclyd

    def tell(item):
        if isinstance(item, arclyd.Gap):
            print("gap", item.missed, item.resumed_at)
            return
        what = "config" if item.is_config else item.tobytes().decode()
        print("frame", item.seq, item.epoch, item.track, int(item.keyframe), int(item.discontinuity), what)

    def blocking(how):
        with arclyd.Subscriber("live/cam1", **how) as sub:
            print("attached", sub.id)
            while True:
                try:
                    tell(sub.recv_raw(timeout=60))
                except arclyd.EndOfStream as end:
                    print("end", end.reason, sub.dropped)
                    return

    async def awaiting(how):
        async with arclyd.AsyncSubscriber("live/cam1", **how) as sub:
            print("attached", sub.id)
            while True:
                try:
                    tell(await sub.recv_raw(timeout=60))
                except arclyd.EndOfStream as end:
                    print("end", end.reason, sub.dropped)
                    return

    how = {"start": 0}
    blocking(how) if sys.argv[1] == "blocking" else asyncio.run(awaiting(how))
"""

FACES = ("blocking", "blocking", "awaiting")


@dataclass(frozen=True)
class Told:
    """One frame as a witness told it; ``cast``: whose it is, "" of a configuration."""

    seq: int
    epoch: int
    track: int
    keyframe: bool
    discontinuity: bool
    cast: str
    number: int


def told(witness: Script) -> list[Told]:
    frames = []
    for line in witness.lines:
        words = line.split()
        if words[0] == "frame":
            seq, epoch, track, key, mark = map(int, words[1:6])
            config = words[6] == "config"
            number = 0 if config else int(words[7])
            frames.append(Told(seq, epoch, track, bool(key), bool(mark), "" if config else words[6], number))
    return frames


def check_cast(frames: list[Told], cast: list[str], *, missing: int = 0) -> None:
    """Every sequence, one publisher after another, each beginning with configurations and a marked keyframe."""
    if missing:
        assert frames[-1].seq - frames[0].seq + 1 == len(frames) + missing
    else:
        assert dense([frame.seq for frame in frames])
    acts = [list(act) for _, act in groupby(frames, key=lambda frame: frame.epoch)]
    assert [act[0].epoch for act in acts] == sorted({frame.epoch for frame in frames})
    for place, (act, name) in enumerate(zip(acts, cast, strict=True)):
        media = [frame for frame in act if frame.cast]
        assert act[0].cast == "", "its configurations come first"
        assert media == act[-len(media) :]
        assert {frame.cast for frame in media} == {name}, "frames of two publishers, mixed"
        assert [frame.discontinuity for frame in media] == [place > 0] + [False] * (len(media) - 1)
        if place:
            assert media[0].keyframe
            assert (media[0].track, media[0].number) == (0, 10), "the first picture that can be decoded"
        for track in (0, 1):
            numbers = [frame.number for frame in media if frame.track == track]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def publish(spawn: Spawner, name: str, options: str = "{}", codec: str = "h264") -> Script:
    return spawn(CAST, name, codec, options, VIDEO_CONFIG.hex() if codec == "h264" else "", name=f"cast-{name}")


def audience(spawn: Spawner) -> list[Script]:
    witnesses = [spawn(WITNESS, face, name=f"witness-{face}") for face in FACES]
    for witness in witnesses:
        witness.await_line("attached")
    return witnesses


def reaches(witnesses: list[Script], cast: str) -> bool:
    """All witnesses have seen a few frames of that publisher."""
    return all(sum(f" {cast} " in line for line in witness.lines) > 20 for witness in witnesses)


def joined_ids() -> list[int]:
    """Whoever attached since the daemon started, as the daemon tells it."""
    with arclyd.connect() as control:
        events = [event for event in control.events(0, follow=False) if event.kind == "joined"]
    return [int(str(event.facts["id"])) for event in events]


def state() -> tuple[str, ...]:
    with arclyd.connect() as control:
        return control.info(KEY).state


def test_a_killed_publisher_returns_twice_and_three_readers_read_on(daemon: Daemon, spawn: Spawner) -> None:
    first = publish(spawn, "anna")
    first.await_line("publishing 1")
    witnesses = audience(spawn)
    region = daemon.regions()
    wait_until(lambda: reaches(witnesses, "anna"), what="the first publisher's frames")
    first.kill()
    second = publish(spawn, "bert")
    second.await_line("publishing 2")
    wait_until(lambda: reaches(witnesses, "bert"), what="the second one's")
    second.kill()
    third = publish(spawn, "cora")
    third.await_line("publishing 3")
    wait_until(lambda: reaches(witnesses, "cora"), what="the third one's")
    assert daemon.regions() == region, "in the same region"
    assert len(joined_ids()) == 3, "and nobody attached anew"
    with arclyd.connect() as control:
        control.end(KEY)
    for witness in witnesses:
        assert witness.finish()[-1] == "end ended 0"
        check_cast(told(witness), ["anna", "bert", "cora"])


@pytest.mark.parametrize(
    ("options", "codec"),
    [("{}", "h265"), ("{'ring_bytes': 64 << 20}", "h264"), ("{'slots': 16384}", "h264")],
    ids=["codec", "bytes", "slots"],
)
def test_one_that_returns_with_other_needs_gets_a_region_and_readers_follow(
    daemon: Daemon, spawn: Spawner, options: str, codec: str
) -> None:
    first = publish(spawn, "anna")
    first.await_line("publishing 1")
    witnesses = audience(spawn)
    (region,) = daemon.regions()
    wait_until(lambda: reaches(witnesses, "anna"), what="the first publisher's frames")
    first.kill()
    publish(spawn, "bert", options, codec).await_line("publishing")
    wait_until(lambda: reaches(witnesses, "bert"), what="the second one's frames")
    (successor,) = daemon.regions()
    assert successor != region
    with arclyd.connect() as control:
        wait_until(lambda: control.info(KEY).subscribers == 3, what="all to be counted on the new region")
        control.end(KEY)
    for witness in witnesses:
        assert witness.finish()[-1] == "end ended 0"
        check_cast(told(witness), ["anna", "bert"])


def test_after_the_grace_time_it_is_over_for_all_and_the_next_one_begins_anew(
    start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon = start_daemon('[apps."*"]\ngrace = 0.3\n')
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    spawn = Spawner(tmp_path, daemon.env)
    try:
        first = publish(spawn, "anna")
        first.await_line("publishing 1")
        witnesses = audience(spawn)
        wait_until(lambda: reaches(witnesses, "anna"), what="the first publisher's frames")
        first.kill()
        for witness in witnesses:
            assert witness.finish()[-1] == "end publisher_gone 0"
            check_cast(told(witness), ["anna"])
        wait_until(lambda: daemon.regions() == [], what="the region's name to be gone")
        publish(spawn, "bert").await_line("publishing 1")
        with arclyd.Subscriber(KEY, start=0) as sub:
            assert sub.recv(timeout=20).seq == 0
    finally:
        spawn.reap()


def test_a_chain_of_takeovers(daemon: Daemon, spawn: Spawner) -> None:
    cast = ["anna", "bert", "cora", "dora", "emil"]
    publishers = [publish(spawn, cast[0])]
    publishers[0].await_line("publishing 1")
    witnesses = audience(spawn)
    wait_until(lambda: reaches(witnesses, cast[0]), what="the first publisher's frames")
    for epoch, name in enumerate(cast[1:], 2):
        publishers.append(publish(spawn, name, "{'on_taken': 'replace'}"))
        publishers[-1].await_line(f"publishing {epoch}")
        assert publishers[-2].finish()[-1].startswith("replaced")
        wait_until(lambda name=name: reaches(witnesses, name), what=f"{name}'s frames")
    assert len(daemon.regions()) == 1
    with arclyd.connect() as control:
        control.end(KEY)
    for witness in witnesses:
        assert witness.finish()[-1] == "end ended 0"
        check_cast(told(witness), cast)


def test_a_stopped_publisher_is_replaced_and_when_it_goes_on_harms_nothing(daemon: Daemon, spawn: Spawner) -> None:
    first = publish(spawn, "anna")
    first.await_line("publishing 1")
    witnesses = audience(spawn)
    wait_until(lambda: reaches(witnesses, "anna"), what="the first publisher's frames")
    first.signal(signal.SIGSTOP)
    (region,) = daemon.regions()
    second = publish(spawn, "bert", "{'on_taken': 'replace'}")
    second.await_line("publishing")
    wait_until(lambda: reaches(witnesses, "bert"), what="the second one's frames")
    (successor,) = daemon.regions()
    assert successor != region, "the stopped one may be amid a store: its memory is left to it"
    first.signal(signal.SIGCONT)
    assert first.finish()[-1].startswith("replaced")
    before = len(told(witnesses[0]))
    wait_until(lambda: len(told(witnesses[0])) > before + 100, what="frames after the old one woke up")
    assert "publishing" in state()
    with arclyd.connect() as control:
        assert control.info(KEY).publisher.pid == second.pid  # type: ignore[union-attr]
        control.end(KEY)
    for witness in witnesses:
        # One sequence is left out: the stopped publisher may have been writing it.
        assert witness.finish()[-1] == "end ended 1", [line for line in witness.lines if line.startswith("gap")]
        check_cast(told(witness), ["anna", "bert"], missing=1)


def test_backups_take_over_one_after_another(daemon: Daemon, spawn: Spawner) -> None:
    living = {"anna": publish(spawn, "anna")}
    living["anna"].await_line("publishing 1")
    witnesses = audience(spawn)
    for name in ("bert", "cora"):
        living[name] = publish(spawn, name, "{'on_taken': 'backup'}")
    wait_until(lambda: reaches(witnesses, "anna"), what="the first publisher's frames")
    with arclyd.connect() as control:
        wait_until(lambda: refusals(control) == 2, what="both backups to have been told to wait")
    cast, active = ["anna"], "anna"
    while living:
        living.pop(active).kill()
        if not living:
            break
        wait_until(lambda: any(one.lines for one in living.values()), what="a backup to take over")
        (active,) = [name for name, one in living.items() if one.lines]
        cast.append(active)
        wait_until(lambda active=active: reaches(witnesses, active), what="its frames")
    assert sorted(cast) == ["anna", "bert", "cora"]
    with arclyd.connect() as control:
        wait_until(lambda: "interrupted" in control.info(KEY).state, what="nobody to be left")
        control.end(KEY)
    for witness in witnesses:
        assert witness.finish()[-1] == "end ended 0"
        check_cast(told(witness), cast)


def refusals(control: arclyd.Control) -> int:
    """How many processes were told that the key is taken."""
    events = control.events(0, follow=False)
    return len({event.facts["pid"] for event in events if event.kind == "refused"})


def test_a_backup_that_comes_while_the_grace_time_runs_takes_over_at_once(daemon: Daemon, spawn: Spawner) -> None:
    first = publish(spawn, "anna")
    first.await_line("publishing 1")
    witnesses = audience(spawn)
    wait_until(lambda: reaches(witnesses, "anna"), what="the first publisher's frames")
    first.kill()
    wait_until(lambda: "interrupted" in state(), what="the interruption")
    publish(spawn, "bert", "{'on_taken': 'backup'}").await_line("publishing 2")
    wait_until(lambda: reaches(witnesses, "bert"), what="the backup's frames")
    with arclyd.connect() as control:
        control.end(KEY)
    for witness in witnesses:
        assert witness.finish()[-1] == "end ended 0"
        check_cast(told(witness), ["anna", "bert"])


def test_a_backup_that_was_stood_by_when_the_first_ended_begins_a_stream_of_its_own(
    daemon: Daemon, spawn: Spawner
) -> None:
    pub = arclyd.Publisher(KEY, [arclyd.Track.data()])
    pub.publish(0, b"0", pts=0, keyframe=True)
    with arclyd.Subscriber(KEY, start="oldest") as sub, arclyd.connect() as control:
        backup = publish(spawn, "bert", "{'on_taken': 'backup'}")
        wait_until(lambda: refusals(control) == 1, what="the backup to wait")
        pub.close()
        assert [frame.seq for frame in sub] == [0]
        assert sub.end_reason == "ended", "an end is an end: who reads on subscribes anew"
        backup.await_line("publishing 1")
        with arclyd.Subscriber(KEY, start=0, wait=20) as anew:
            assert anew.recv(timeout=20).epoch == 1


def test_a_backup_that_gives_up_leaves_nothing_to_the_next(daemon: Daemon, spawn: Spawner) -> None:
    pub = arclyd.Publisher(KEY, [arclyd.Track.data()])
    pub.publish(0, b"0", pts=0, keyframe=True)
    backup = publish(spawn, "bert", "{'on_taken': 'backup'}")
    with arclyd.connect() as control:
        wait_until(lambda: refusals(control) == 1, what="the backup to wait")
        backup.kill()
        pub.close()
        wait_until(lambda: not control.list_streams(), what="the stream's end")
    assert daemon.regions() == []
    # What a refused claim left behind would be the ended stream's memory.
    wait_until(lambda: not mapped(daemon.pid), timeout=5, what="the daemon to let go of the region")


def mapped(pid: int) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/maps").read_text().splitlines() if "/dev/shm/arclyd." in line]


def test_the_daemon_forgets_what_it_refused(daemon: Daemon) -> None:
    pub = arclyd.Publisher(KEY, [arclyd.Track.data()])
    with Exchange(daemon.socket) as asking:
        for _ in range(3):
            with pytest.raises(arclyd.AlreadyPublishing):
                asking.ask_fds(Terms(KEY, (arclyd.Track.data(),), None, None, "reject", {}).request())
        pub.close()
        wait_until(lambda: not mapped(daemon.pid), timeout=5, what="the daemon to let go of the region")
