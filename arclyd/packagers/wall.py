"""The wall clock in manifests."""

from __future__ import annotations

import datetime


def timestamp(wall_ns: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{rest // 1_000_000:03d}Z"
