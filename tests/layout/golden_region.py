"""The checked-in region of layout 1.0, and what a reader must find in it."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from os import close, memfd_create, write
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"


def image() -> bytes:
    return gzip.decompress((FOLDER / "region-1.0.bin.gz").read_bytes())


def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "region-1.0.json").read_text(encoding="utf-8"))
    return found


@contextmanager
def descriptor(data: bytes) -> Iterator[int]:
    """A memory file with that content."""
    fd = memfd_create("region")
    try:
        if data:
            write(fd, data)
        yield fd
    finally:
        close(fd)
