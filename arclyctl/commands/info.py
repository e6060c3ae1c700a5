"""`arclyctl info`: all that is known of one stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arclyctl import units
from arclyctl.render import Cell, build_pairs, facts_text, show, styled
from arclyctl.tables import age_of, tracks_table
from arclyctl.types import StreamKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyctl.context import Context
    from arclyd.control.reports import StreamInfo


@click.command
@click.argument("key", type=StreamKey())
@click.pass_obj
def info(context: Context, key: str) -> None:
    """Show state, publisher, region, figures, metadata and tracks of the stream KEY."""
    with context.connect() as control:
        stream = control.info(key)
    if context.json:
        context.emit(stream)
        return
    console = context.console()
    show(console, build_pairs(_pairs(stream)), tracks_table(console, stream.qos.tracks))


def _pairs(stream: StreamInfo) -> Iterator[tuple[str, Cell]]:
    yield "key", stream.key
    yield "state", styled(stream.state)
    if stream.interrupted_seconds is not None:
        yield "interrupted", f"{units.seconds(stream.interrupted_seconds)} ago"
    yield "publisher", _publisher(stream)
    yield from _media_pairs(stream)
    yield "region", f"{stream.region} (id {stream.region_id}, layout {stream.layout})"
    yield "size", f"{units.size(stream.region_bytes)}: {units.size(stream.ring_bytes)} payload, {stream.slots} slots"
    yield "epoch, head", f"{stream.epoch}, {stream.head}"
    yield "created", f"{units.date(stream.created_at_ms)} ({age_of(stream.created_at_ms)} ago)"
    if stream.activities:
        yield "activities", facts_text(stream.activities)


def _publisher(stream: StreamInfo) -> str:
    who = stream.publisher
    if who is None:
        return "none"
    told = f"process {who.pid} of user {who.uid}" + (f", {who.name}" if who.name else "")
    since = f", since {age_of(who.since_ms)}" if who.since_ms else ""
    return told + since + ("" if who.connected else " (known by its lock only: not connected)")


def _media_pairs(stream: StreamInfo) -> Iterator[tuple[str, Cell]]:
    said, qos = stream.metadata, stream.qos
    if said.ingest_protocol or said.publisher_addr:
        yield "ingest", " from ".join(word for word in (said.ingest_protocol, said.publisher_addr) if word)
    if said.width and said.height:
        yield "picture", f"{said.width}x{said.height}, {units.fps(said.fps)} fps"
    yield "bitrate", f"video {units.rate(qos.video_bitrate_bps)}, audio {units.rate(qos.audio_bitrate_bps)}"
    average = f"video {units.rate(qos.average_video_bitrate_bps)}, audio {units.rate(qos.average_audio_bitrate_bps)}"
    yield "on average", f"{average}, {units.fps(qos.average_fps)} fps"
    yield "totals", f"{units.count(qos.total_frames)} frames, {units.size(qos.total_bytes)}"
    yield "keyframes", f"{units.count(qos.keyframes)}, one every {units.every(qos.keyframe_interval_seconds)}"
    yield "GOP", f"{units.count(qos.gop_frames)} frames, {units.size(qos.gop_bytes)}"
    yield (
        "longest GOP",
        (
            f"{units.count(qos.longest_gop_frames)} frames, {units.size(qos.longest_gop_bytes)}; "
            f"largest frame {units.size(qos.largest_frame)}"
        ),
    )
    held = f"{units.count(qos.held_frames)} frames, {units.size(qos.held_bytes)}"
    yield "held", f"{held}, {units.seconds(qos.retention_seconds)}"
    yield "last frame", f"{units.seconds(qos.idle_seconds)} ago"
    yield "subscribers", units.count(stream.subscribers)
    if said.tags:
        yield "tags", facts_text(said.tags)
