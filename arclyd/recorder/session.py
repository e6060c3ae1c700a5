"""One stream's reader: waits for the stream, hands its frames on, and waits again when it is over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import arclyd
from arclyd import Gap, Subscriber
from arclyd.errors import ArclydError, DaemonUnavailable, EndOfStream, ProtocolError, StreamNotFound, Unauthorized
from arclyd.recorder.intake import Intake

if TYPE_CHECKING:
    import os
    import threading

    from arclyd import Control, Frame
    from arclyd.recorder.intake import StreamFrame
    from arclyd.recorder.recorder import Recorder, Rules
    from arclyd.recorder.report import Report

LOOK_SECONDS: Final = 0.25
"""How long a silent or missing stream is waited on before a stop is looked for."""

RETRY_SECONDS: Final = 1.0
"""How long a daemon that is away, or a stream that can't be attached to, is left alone."""

OLDEST_NS: Final = 86_400 * 1_000_000_000
"""An age of a frame that no ring holds: whoever wrote it down is wrong."""

OVER: Final = frozenset({"ended", "publisher_gone", "reaped"})
"""Ends of a stream: the next one of its key is another one, recorded from its first frame on."""

LAST_WORDS: Final = frozenset({"kicked", "refused"})
"""Ends after which a stream is not waited for: somebody decided so."""


class Session:
    """Records one stream until ``stop`` is set, or the daemon will not have it.

    Args:
        last: seconds of the past to begin with; None: the newest keyframe.
    """

    def __init__(
        self,
        key: str,
        recorder: Recorder,
        rules: Rules,
        report: Report,
        stop: threading.Event,
        *,
        last: float | None,
        socket: str | os.PathLike[str] | None,
    ) -> None:
        self.key = key
        self.error: Exception | None = None
        """Why it ended before it was stopped."""
        self._recorder = recorder
        self._rules = rules
        self._report = report
        self._stop = stop
        self._start: str | float = "keyframe" if last is None else -last
        self._socket = socket

    def run(self) -> None:
        """Record. What it ended with stands in `error`."""
        try:
            while self._wait_for_stream() and self._record():
                pass
        except Exception as error:  # a fault here is the command's to tell of, and no other stream's
            self.error = error
            self._report.warn(self.key, f"not recorded any more: {error}")

    # ---------------------------------------------------------------- waiting

    def _wait_for_stream(self) -> bool:
        """False: stopped meanwhile. A stream that was not there at first is recorded from its first frame on."""
        told = ""
        while not self._stop.is_set():
            try:
                with arclyd.connect(self._socket, name="record") as control:
                    while not self._stop.is_set():
                        if self._is_there(control):
                            return True
                        told = self._tell_waiting(told, "waiting for the stream")
                        self._start = "oldest"
                        self._stop.wait(LOOK_SECONDS)
            except (DaemonUnavailable, ProtocolError) as error:
                told = self._tell_waiting(told, f"waiting: {error}")
                self._stop.wait(RETRY_SECONDS)
        return False

    def _is_there(self, control: Control) -> bool:
        """A stream that has ended may be known for a moment longer: it is recorded already."""
        try:
            return "ended" not in control.info(self.key).state
        except StreamNotFound:
            return False

    def _tell_waiting(self, told: str, text: str) -> str:
        if text != told:
            self._report.say(self.key, text)
        return text

    # -------------------------------------------------------------- recording

    def _record(self) -> bool:
        """Attach and record up to the stream's end; True: wait for the next one."""
        try:
            with Subscriber(self.key, start=self._start, socket=self._socket, name="record") as subscriber:
                self._start = "keyframe"
                reason = self._read(subscriber)
        except Unauthorized:
            raise
        except (StreamNotFound, DaemonUnavailable):
            return True
        except ArclydError as error:
            self._report.count(self.key, f"can't attach, {{}} times: {error}", 1)
            self._stop.wait(RETRY_SECONDS)
            return True
        if reason in OVER:
            self._start = "oldest"
        if reason in LAST_WORDS:
            raise EndOfStream(reason, self.key)
        return not self._stop.is_set()

    def _read(self, subscriber: Subscriber) -> str:
        split, codecs = self._rules.split, self._rules.container.codecs
        intake = Intake(subscriber.tracks, codecs, split=split, wall_ns=published_ns)
        reason = "stopped"
        try:
            while not self._stop.is_set():
                try:
                    item = subscriber.recv_raw(timeout=LOOK_SECONDS)
                except TimeoutError:
                    self._recorder.settle()
                else:
                    self._take(intake, subscriber, item)
        except EndOfStream as end:
            reason = end.reason
            self._report.say(self.key, f"the stream is over: {reason}")
        finally:
            for last in intake.drain():
                self._recorder.take(last)
            self._recorder.end(reason)
        return reason

    def _take(self, intake: Intake, subscriber: Subscriber, item: Frame | Gap) -> None:
        if isinstance(item, Gap):
            items = intake.gap(item.missed)
        else:
            if intake.is_new_epoch(item):
                for before in intake.tracks_are(subscriber.tracks):
                    self._recorder.take(before)
            items = intake.frame(item)
        for one in items:
            self._recorder.take(one)


def published_ns(frame: StreamFrame) -> int:
    """Unix time at which a frame was published, in nanoseconds."""
    age = time.monotonic_ns() - frame.publish_ns
    return time.time_ns() - (age if 0 <= age < OLDEST_NS else 0)
