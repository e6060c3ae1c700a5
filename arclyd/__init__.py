"""arclyd: live media through shared memory, one publisher, any number of zero-copy readers.

Layers, each knowing only those below it::

    daemon    L5   registry, limits, QoS, events: never on the data path
    ingest    L4   gateways, a room per protocol, built on the library alone
    recorder  L4   streams to files, built on the library alone
    packagers L4   streams as HLS and DASH over HTTP, built on it too
    client    L3   this library: Publisher, Subscriber, AsyncSubscriber, connect
    control   L2   the daemon's protocol, without a socket
    media     L1   what a frame means: tracks, codecs, exact time
    ring      L0   frames of bytes in shared memory (C11)
    errors         every exception

Publish::

    import arclyd

    with arclyd.Publisher("live/klv", tracks=[arclyd.Track.data("raw")]) as pub:
        pub.publish(0, b"payload", pts=0, keyframe=True)

Subscribe, in another process::

    with arclyd.Subscriber("live/klv") as sub:
        for frame in sub:
            print(frame.seq, frame.track, frame.pts, len(frame))

Names are imported when they are first used, so that ``import arclyd`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arclyd.client.async_control import AsyncControl
    from arclyd.client.async_subscriber import AsyncSubscriber
    from arclyd.client.control import Control, connect
    from arclyd.client.observer import Observer
    from arclyd.client.publisher import Publisher
    from arclyd.client.subscriber import Lag, Subscriber
    from arclyd.errors import (
        AlreadyPublishing,
        ArclydError,
        ConfigError,
        ConfigTooLarge,
        ConnectionLimit,
        DaemonUnavailable,
        DescriptorLimit,
        EndOfStream,
        FrameCorrupt,
        FrameOverwritten,
        FrameTooLarge,
        InvalidKey,
        LayoutMismatch,
        LimitReached,
        MediaError,
        MemoryBudget,
        NoSpace,
        ProtocolError,
        PublisherClosed,
        PublisherLimit,
        PublisherReplaced,
        RegionCorrupt,
        RegionError,
        RequestRefused,
        StreamNotFound,
        SubscriberNotFound,
        Unauthorized,
        UnknownCodec,
        WireError,
    )
    from arclyd.media.codecs import CodecId
    from arclyd.media.track import Track
    from arclyd.ring._ring import Frame, Gap, Span

    __version__: str

__all__ = [
    "AlreadyPublishing",
    "ArclydError",
    "AsyncControl",
    "AsyncSubscriber",
    "CodecId",
    "ConfigError",
    "ConfigTooLarge",
    "ConnectionLimit",
    "Control",
    "DaemonUnavailable",
    "DescriptorLimit",
    "EndOfStream",
    "Frame",
    "FrameCorrupt",
    "FrameOverwritten",
    "FrameTooLarge",
    "Gap",
    "InvalidKey",
    "Lag",
    "LayoutMismatch",
    "LimitReached",
    "MediaError",
    "MemoryBudget",
    "NoSpace",
    "Observer",
    "ProtocolError",
    "Publisher",
    "PublisherClosed",
    "PublisherLimit",
    "PublisherReplaced",
    "RegionCorrupt",
    "RegionError",
    "RequestRefused",
    "Span",
    "StreamNotFound",
    "Subscriber",
    "SubscriberNotFound",
    "Track",
    "Unauthorized",
    "UnknownCodec",
    "WireError",
    "__version__",
    "connect",
]

_HOMES: Final = MappingProxyType(
    {
        "AsyncControl": "arclyd.client.async_control",
        "AsyncSubscriber": "arclyd.client.async_subscriber",
        "CodecId": "arclyd.media.codecs",
        "Control": "arclyd.client.control",
        "Frame": "arclyd.ring._ring",
        "Gap": "arclyd.ring._ring",
        "Lag": "arclyd.client.subscriber",
        "Observer": "arclyd.client.observer",
        "Publisher": "arclyd.client.publisher",
        "Span": "arclyd.ring._ring",
        "Subscriber": "arclyd.client.subscriber",
        "Track": "arclyd.media.track",
        "connect": "arclyd.client.control",
    }
)
"""Where a name lives; those not listed are errors."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = _own_version() if name == "__version__" else _imported(name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _imported(name: str) -> object:
    found: object = getattr(importlib.import_module(_HOMES.get(name, "arclyd.errors")), name)
    return found


def _own_version() -> str:
    from importlib import metadata  # noqa: PLC0415 - it costs more to import than all the rest of this module

    try:
        return metadata.version("arclyd")
    except metadata.PackageNotFoundError:
        return "unknown"
