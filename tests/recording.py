"""What the tests of the recorder share: starting one, reading what it wrote, and having ffmpeg decode it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from arclyd.ingest.file.source import open_file
from tests.clips import Clip, Sample
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.daemon import Script

KEY = "live/cam"
ARCLYD = """
    import sys
    from arclyd.cli import main
    sys.exit(main())
"""


def files(folder: Path) -> list[Path]:
    """The recordings in the order they were begun."""
    return sorted((folder / "rec").glob("*.[tm]*"), key=lambda path: [int(part) for part in path.stem.split("-")])


def index(folder: Path, enter: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What `arclyd recordings` says; ``enter``: the command that runs it elsewhere."""
    command = [*enter, sys.executable, "-m", "arclyd", "recordings", str(folder / "rec"), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def eventually(condition: Callable[[], object], what: str) -> None:
    """`wait_until`, with the patience that several processes on a busy machine need."""
    wait_until(condition, timeout=60, what=what)


def writing(recorder: Script, number: int = 1) -> None:
    """Until it has begun so many files."""
    eventually(lambda: recorder.errors.count(": writing ") >= number, f"file {number}")


def over(recorder: Script, number: int = 1) -> None:
    """Until it has read a stream to its end, so many times."""
    eventually(lambda: recorder.errors.count("the stream is over: ended") == number, "the end of the stream")


def stop(script: Script) -> None:
    """SIGTERM, which must be a success."""
    script.signal(signal.SIGTERM)
    script.finish()


def decodes(path: Path) -> dict[str, int]:
    """How many pictures and sounds ffmpeg decodes, which must not say a word."""
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-i", str(path), "-map", "0", "-f", "framemd5", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert not done.stderr, f"{path}: {done.stderr}"
    kinds = [line.split() for line in done.stdout.splitlines() if line.startswith("#media_type")]
    names = {words[1].rstrip(":"): words[2] for words in kinds}
    numbers = [line.partition(",")[0] for line in done.stdout.splitlines() if not line.startswith("#")]
    return {kind: numbers.count(number) for number, kind in names.items()}


def read(path: Path) -> Clip:
    """A recording's access units in the model's own form."""
    with closing(open_file(str(path))) as source:
        samples = tuple(
            Sample(unit.track, bytes(unit.payload), unit.pts or 0, unit.dts or 0, unit.duration, unit.keyframe)
            for unit in source.units()
        )
        return Clip(tuple(source.tracks), samples)
