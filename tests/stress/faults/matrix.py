"""The fault matrix as a table: what happens to whom, when, and what each party must see then.

One row a cell. ``then`` is what becomes of the stream: "on" (the same publisher goes on with it), "heir" (it is
interrupted, and the next publisher goes on with it), "over" (readers have their end). A cell without ``then`` can't
exist; ``publisher`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAULTS: Final = ("SIGKILL", "SIGSTOP", "SIGTERM", "exception", "fork")
PARTIES: Final = ("publisher", "subscriber", "daemon")
MOMENTS: Final = ("idle", "frame", "claim", "join", "end")


@dataclass(frozen=True, slots=True)
class Cell:
    """``publisher``, ``subscribers``, ``daemon``: what each sees; ``victim``: the last word of the one that is hit."""

    fault: str
    who: str
    when: str
    then: str = ""
    victim: str = ""
    publisher: str = ""
    subscribers: str = ""
    daemon: str = ""

    def __str__(self) -> str:
        return f"{self.fault}-{self.who}-{self.when}"


SAME = "notice nothing: every frame, once, in order"
GAPLESS = "read on without a gap: the next publisher's configuration, then its keyframe as a discontinuity"
ENDS = "get every frame, then the end: ended"
INTERRUPTED = "stream interrupted; the next claim gets epoch + 1 of the same region"
LISTS = "lists it as publishing all along; another claim is AlreadyPublishing"
NOTHING = "notices nothing"
GONE = "counts one less at once"
BACK = "finds the region and its living writer again when it is back, counts right"

P, S, D = PARTIES


def _publisher() -> list[Cell]:
    dead, left, thrown = "", "left", "raised RuntimeError"
    rows = []
    for when in ("idle", "frame", "claim", "join"):
        rows.append(Cell("SIGKILL", P, when, "heir", dead, "is gone", GAPLESS, INTERRUPTED))
        rows.append(Cell("SIGSTOP", P, when, "on", "ended", "goes on where it stood", SAME, LISTS))
        rows.append(
            Cell("fork", P, when, "on", "ended", "the child is PublisherClosed, the parent goes on", SAME, LISTS)
        )
    for when in ("idle", "frame", "join"):
        rows.append(Cell("SIGTERM", P, when, "over", left, "leaves its with block", ENDS, "the stream is gone"))
        rows.append(Cell("exception", P, when, "over", thrown, "leaves its with block", ENDS, "the stream is gone"))
    rows.append(Cell("SIGTERM", P, "claim", "heir", left, "gives its claim back", GAPLESS, INTERRUPTED))
    rows.append(Cell("exception", P, "claim", "heir", thrown, "gives its claim back", GAPLESS, INTERRUPTED))
    rows.append(Cell("SIGKILL", P, "end", "over", dead, "is gone", ENDS, "the stream is gone"))
    rows.append(
        Cell("SIGSTOP", P, "end", "over", "ended", "goes on where it stood", ENDS, "lists it as ended till then")
    )
    rows.append(Cell("SIGTERM", P, "end", "over", left, "leaves its with block", ENDS, "the stream is gone"))
    rows.append(Cell("exception", P, "end", "over", thrown, "leaves its with block", ENDS, "the stream is gone"))
    rows.append(Cell("fork", P, "end", "over", "ended", "the child is PublisherClosed", ENDS, "the stream is gone"))
    return rows


def _subscriber() -> list[Cell]:
    rows = []
    for when in MOMENTS:
        then = "over" if when == "end" else "on"
        others = f"the others {ENDS if when == 'end' else SAME}"
        rows.append(Cell("SIGKILL", S, when, then, "", NOTHING, others, GONE))
        rows.append(
            Cell("SIGSTOP", S, when, then, "end ended 0", NOTHING, f"{others}, the stopped one after it", NOTHING)
        )
        rows.append(Cell("SIGTERM", S, when, then, "left", NOTHING, others, GONE))
        rows.append(Cell("exception", S, when, then, "raised RuntimeError", NOTHING, others, GONE))
        child = f"{others}; the child's is over (refused)"
        rows.append(Cell("fork", S, when, then, "end ended 0", NOTHING, child, NOTHING))
    return rows


def _daemon() -> list[Cell]:
    rows = []
    for when in MOMENTS:
        then, sees = ("over", ENDS) if when == "end" else ("on", SAME)
        rows.append(
            Cell("SIGSTOP", D, when, then, "ended", "goes on, an answer it waits for comes late", sees, "goes on")
        )
        if when != "claim":
            rows.append(Cell("SIGKILL", D, when, then, "ended", "goes on and reconnects", sees, BACK))
            rows.append(Cell("SIGTERM", D, when, then, "ended", "goes on and reconnects", sees, BACK))
            rows.append(
                Cell("exception", D, when, then, "ended", NOTHING, sees, "refuses one request, logs it, goes on")
            )
        rows.append(Cell("fork", D, when, publisher="the daemon forks nothing: no line of it does"))
    lost = "raised DaemonUnavailable"
    rows.append(
        Cell("SIGKILL", D, "claim", "heir", lost, "its claim fails; the next one's does not", GAPLESS, INTERRUPTED)
    )
    rows.append(
        Cell("SIGTERM", D, "claim", "heir", lost, "its claim fails; the next one's does not", GAPLESS, INTERRUPTED)
    )
    refused = "raised"
    rows.append(
        Cell("exception", D, "claim", "heir", refused, "its claim fails; the next one's does not", GAPLESS, INTERRUPTED)
    )
    return rows


MATRIX: Final = tuple(sorted((*_publisher(), *_subscriber(), *_daemon()), key=str))
CELLS: Final = tuple(cell for cell in MATRIX if cell.then)
