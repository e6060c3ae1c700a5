"""The library: what a publisher, a subscriber or a tool uses to reach a stream or the daemon.

`publisher` and `subscriber` move media, through the ring alone; `claim` and `attachment` are
their sides towards the daemon, served by one background thread per process (`hub`, `link`),
which media never waits for. `control` asks the daemon, and `exchange` is the socket it does it
over. `async_subscriber` and `async_control` are the same for asyncio. The public names are
those of the package `arclyd`.
"""

from arclyd.client.control import Control, connect

__all__ = ["Control", "connect"]
