"""The processes of the soak: ``python -m tests.soak.actors ROLE KEY OPTIONS``, the options as JSON.

SIGTERM ends each in order. A broken promise is an AssertionError: the process fails, and with it the soak.
Each prints what it did as one JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import secrets
import signal
import sys
import time
from pathlib import Path
from typing import Any

import arclyd
from tests.soak.payloads import LEAST, Witness, body

UNFIT = (
    arclyd.AlreadyPublishing,
    arclyd.DaemonUnavailable,
    arclyd.RequestRefused,
    arclyd.StreamNotFound,
    arclyd.LimitReached,
)
"""What may come of an attempt to publish or to attach while everything else goes on."""

OTHER: dict[str, str] = {"plain": "h264", "other": "h265"}


class Incarnation:
    """One publisher's payloads: its token, its count, the configuration in force on each track."""

    def __init__(self, pub: arclyd.Publisher, token: int, marks: dict[int, int]) -> None:
        self.pub = pub
        self.token = token
        self.number = sum(marks.values())
        self._marks = marks

    def configure(self, track: int) -> None:
        self._marks[track] += 1
        self.pub.set_config(track, body(self.token, self.number, self._marks[track], 60))
        self.number += 1

    def publish(self, track: int, size: int, *, pts: int, keyframe: bool) -> int:
        gated = self.pub.gated
        data = body(self.token, self.number, self._marks[track], size)
        attached = self.pub.publish(track, data, pts=pts, keyframe=keyframe)
        self.number += self.pub.gated == gated
        return attached


def open_publisher(key: str, options: dict[str, Any]) -> Incarnation:
    token = secrets.randbits(48)
    tracks = [
        arclyd.Track.video(OTHER[options.get("tracks", "plain")], width=320, height=200),
        arclyd.Track.audio("opus", config=body(token, 0, 1, 60), sample_rate=48000, channels=2),
    ]
    pub = arclyd.Publisher(key, tracks, ring_bytes=options.get("ring_bytes"), on_taken=options.get("on_taken"))
    return Incarnation(pub, token, {0: 0, 1: 1})


def publish(key: str, options: dict[str, Any]) -> dict[str, Any]:
    """Publish until told to end, replaced, or ended by the daemon; ``count``: so many frames, then wait for a line."""
    dice, interval, count = random.Random(options["seed"]), 1 / options["rate"], options.get("count", 1 << 62)
    one = open_publisher(key, options)
    outcome, n = "ended", 0
    print(json.dumps({"epoch": one.pub.epoch}), flush=True)
    try:
        with one.pub:
            one.configure(0)
            while n < count:
                if n % 150 == 149 and dice.random() < 0.5:
                    one.configure(n % 2)
                keyframe = n % 40 == 0 or one.pub.keyframe_requested()
                size = LEAST + (dice.randrange(6000) if keyframe else dice.randrange(900))
                one.publish(0, size, pts=n * 1800, keyframe=keyframe)
                if n % 2:
                    one.publish(1, LEAST + dice.randrange(200), pts=n * 960 + dice.choice((0, 480)), keyframe=True)
                n += 1
                time.sleep(interval * dice.uniform(0.5, 1.5))
            print(json.dumps({"published": one.number}), flush=True)
            sys.stdin.readline()
    except arclyd.PublisherReplaced:
        outcome = "replaced"
    except arclyd.PublisherClosed:
        outcome = "closed"
    return {"outcome": outcome, "published": one.number}


def dawdle(dice: random.Random, options: dict[str, Any]) -> float:
    return dice.uniform(0.2, 1.5) if dice.random() < options.get("lazy", 0.0) else 0.0


def read(key: str, options: dict[str, Any]) -> dict[str, Any]:
    """Read to the end, dawdling at random; every item is checked."""
    dice, how = random.Random(options["seed"]), options["how"]
    witness = Witness.of(how["start"])
    with arclyd.Subscriber(key, wait=5.0, **how) as sub:
        print(json.dumps({"attached": sub.id}), flush=True)
        while True:
            try:
                witness.take(sub.recv_raw(timeout=60))
            except arclyd.EndOfStream as end:
                return told(witness, sub.dropped, end.reason)
            if pause := dawdle(dice, options):
                time.sleep(pause)


def read_async(key: str, options: dict[str, Any]) -> dict[str, Any]:
    """As `read`, in asyncio."""
    dice, how = random.Random(options["seed"]), options["how"]
    witness = Witness.of(how["start"])

    async def main() -> dict[str, Any]:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        loop.slow_callback_duration = 600  # the machine is busy, and that is all it would say
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        async with arclyd.AsyncSubscriber(key, wait=5.0, **how) as sub:
            print(json.dumps({"attached": sub.id}), flush=True)
            while True:
                try:
                    witness.take(await sub.recv_raw(timeout=60))
                except arclyd.EndOfStream as end:
                    return told(witness, sub.dropped, end.reason)
                if pause := dawdle(dice, options):
                    await asyncio.sleep(pause)

    return asyncio.run(main())


def told(witness: Witness, dropped: int, reason: str) -> dict[str, Any]:
    # The Gap that costs a reader its seat is counted by the library and not handed out.
    assert witness.missed == dropped or reason == "evicted", (witness, dropped)
    return {
        "outcome": reason,
        "frames": witness.frames,
        "replayed": witness.replayed,
        "gaps": witness.gaps,
        "missed": witness.missed,
        "overwritten": witness.overwritten,
        "epochs": len(witness.epochs),
        "discontinuities": witness.discontinuities,
    }


# ------------------------------------------------------------ coming and going


def come_and_go(key: str, options: dict[str, Any]) -> dict[str, Any]:
    """Publishers and subscribers of one process, again and again: it must not grow. Ends with standard input."""
    dice, rounds, warm = random.Random(options["seed"]), 0, {}
    os.set_blocking(0, False)
    while sys.stdin.buffer.read() is None:
        try:
            one_round(f"{key}{rounds % 3}", dice)
        except (*UNFIT, arclyd.PublisherClosed, arclyd.EndOfStream, TimeoutError):
            time.sleep(0.05)  # the daemon is away
            continue
        rounds += 1
        if rounds == 20:
            warm = footprint()
    cold = footprint()
    if rounds >= 20:
        assert cold["fds"] <= warm["fds"], (warm, cold)
        assert cold["threads"] <= warm["threads"], (warm, cold)
        assert cold["anon_kib"] <= warm["anon_kib"] + 4096, (warm, cold)
    return {"outcome": "ended", "rounds": rounds, "growth_kib": cold["anon_kib"] - warm.get("anon_kib", 0)}


def one_round(key: str, dice: random.Random) -> None:
    pub = arclyd.Publisher(key, [arclyd.Track.data()], on_taken="replace")
    subs = [arclyd.Subscriber(key, start=start) for start in ("oldest", "live")]
    for n in range(50):
        pub.publish(0, b"%d" % n, pts=n, keyframe=True)
    for sub in subs:
        for n in range(dice.randrange(50)):
            assert sub.recv(timeout=5).tobytes() == b"%d" % n
    child = os.fork() if dice.random() < 0.2 else None
    if child == 0:
        os._exit(0)
    if dice.random() < 0.7:
        subs.pop().close()  # the other, and the publisher at times, are left to the collector
    if dice.random() < 0.7:
        pub.close()
    if child:
        os.waitpid(child, 0)


def footprint() -> dict[str, int]:
    """What this process holds, once the library's thread is gone (or in its tenth second)."""
    gc.collect()
    deadline = time.monotonic() + 10
    while (threads := len(os.listdir("/proc/self/task"))) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    status = Path("/proc/self/status").read_text()
    anon = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
    return {"fds": len(os.listdir("/proc/self/fd")), "threads": threads, "anon_kib": anon}


ROLES: dict[str, Any] = {role.__name__: role for role in (publish, read, read_async, come_and_go)}


def main(role: str, key: str, options: str) -> None:
    if role != "read_async":  # there the loop must do it: an exception out of a handler may tear any callback
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        print(json.dumps(ROLES[role](key, json.loads(options))), flush=True)
    except asyncio.CancelledError:
        sys.exit(0)
    except UNFIT as error:
        print(json.dumps({"outcome": type(error).__name__}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
