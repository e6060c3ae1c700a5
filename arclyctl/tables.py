"""The tables that more than one verb shows: streams, their figures, tracks, join points, subscribers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.text import Text

from arclyctl import units
from arclyctl.render import Cell, Column, build_table, number, styled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table

    from arclyd.control.reports import GopEntry, StreamInfo, SubscriberInfo, TrackQos


def streams_table(console: Console, streams: Iterable[StreamInfo]) -> Table:
    """`ls`: what there is."""
    columns = [
        Column("KEY"),
        Column("STATE"),
        Column("TRACKS", fold=True),
        number("FPS"),
        number("BITRATE"),
        number("SUBS"),
        number("REGION", spare=2),
        number("UP", spare=1),
    ]
    return build_table(console, columns, (_stream_row(stream) for stream in streams))


def _stream_row(stream: StreamInfo) -> Sequence[Cell]:
    qos = stream.qos
    return (
        stream.key,
        styled(stream.state),
        " + ".join(track_words(track) for track in qos.tracks),
        units.fps(qos.fps),
        units.rate(qos.video_bitrate_bps + qos.audio_bitrate_bps),
        units.count(stream.subscribers),
        units.size(stream.region_bytes),
        age_of(stream.metadata.started_at_ms or stream.created_at_ms),
    )


def track_words(track: TrackQos) -> str:
    """A track in a few words: ``h264 1280x720``, ``aac 48 kHz 2ch``."""
    words = [track.codec]
    if track.width and track.height:
        words.append(f"{track.width}x{track.height}")
    if track.sample_rate:
        words.append(f"{track.sample_rate / 1000:g} kHz")
    if track.channels:
        words.append(f"{track.channels}ch")
    return " ".join(words)


def age_of(time_ms: int) -> str:
    """How long ago that wall-clock time was; ``-`` for none."""
    return units.seconds(max(0.0, time.time() - time_ms / 1000)) if time_ms else "-"


def stats_table(console: Console, streams: Iterable[StreamInfo]) -> Table:
    """`stats` and `top`: live figures, a line for each stream."""
    columns = [
        Column("KEY"),
        Column("STATE"),
        number("FPS"),
        number("VIDEO"),
        number("AUDIO"),
        number("FRAMES", spare=2),
        number("BYTES", spare=4),
        number("KEY EVERY", spare=3),
        number("GOP", spare=6),
        number("HELD", spare=5),
        number("IDLE", spare=1),
        number("SUBS"),
    ]
    return build_table(console, columns, (_stats_row(stream) for stream in streams))


def _stats_row(stream: StreamInfo) -> Sequence[Cell]:
    qos = stream.qos
    return (
        stream.key,
        styled(stream.state),
        units.fps(qos.fps),
        units.rate(qos.video_bitrate_bps),
        units.rate(qos.audio_bitrate_bps),
        units.count(qos.total_frames),
        units.size(qos.total_bytes),
        units.every(qos.keyframe_interval_seconds),
        units.size(qos.gop_bytes),
        units.seconds(qos.retention_seconds),
        units.seconds(qos.idle_seconds),
        units.count(qos.subscribers),
    )


def tracks_table(console: Console, tracks: Iterable[TrackQos]) -> Table:
    """The tracks of one stream."""
    columns = [
        number("TRACK"),
        Column("KIND"),
        Column("CODEC"),
        number("FPS"),
        number("BITRATE"),
        number("AVERAGE", spare=3),
        number("FRAMES"),
        number("KEYS", spare=1),
        number("BYTES", spare=2),
        number("CONFIG", spare=4),
        number("TIME BASE", spare=5),
    ]
    return build_table(console, columns, (_track_row(track) for track in tracks))


def _track_row(track: TrackQos) -> Sequence[Cell]:
    return (
        str(track.id),
        track.kind,
        track_words(track),
        units.fps(track.fps),
        units.rate(track.bitrate_bps),
        units.rate(track.average_bitrate_bps),
        units.count(track.frames),
        units.count(track.keyframes),
        units.size(track.bytes),
        str(track.config_generation),
        f"{track.time_base[0]}/{track.time_base[1]}",
    )


def gop_table(console: Console, entries: Iterable[GopEntry]) -> Table:
    """Join points, oldest first."""
    columns = [
        number("GOP"),
        number("KEY SEQ"),
        number("JOIN SEQ"),
        number("TRACK", spare=4),
        number("EPOCH", spare=3),
        number("PTS", spare=2),
        number("FRAMES"),
        number("BYTES"),
        number("LASTS"),
        number("AGE", spare=1),
        Column("STATE", fold=True),
    ]
    return build_table(console, columns, (_gop_row(entry) for entry in entries))


def _gop_row(entry: GopEntry) -> Sequence[Cell]:
    if entry.joinable:
        state = Text("joinable", style="green")
    else:
        state = Text(entry.problem or ("not joinable" if entry.intact else "overwritten"), style="yellow")
    return (
        str(entry.number),
        str(entry.key_seq),
        str(entry.join_seq),
        str(entry.track),
        str(entry.epoch),
        str(entry.pts),
        units.count(entry.frames),
        units.size(entry.bytes),
        units.seconds(entry.duration_seconds),
        units.seconds(entry.age_seconds),
        state,
    )


def subscribers_table(console: Console, subscribers: Iterable[SubscriberInfo]) -> Table:
    """Who reads what, and how far behind."""
    columns = [
        Column("KEY"),
        number("ID"),
        number("PID", spare=1),
        number("UID", spare=5),
        Column("NAME", fold=True),
        number("CURSOR"),
        number("DROPPED"),
        number("LAG"),
        number("LAG BYTES", spare=2),
        number("LAG TIME"),
        number("SINCE", spare=3),
        number("REPORTED", spare=4),
    ]
    return build_table(console, columns, (_subscriber_row(one) for one in subscribers))


def _subscriber_row(one: SubscriberInfo) -> Sequence[Cell]:
    return (
        one.key,
        str(one.id),
        str(one.pid),
        str(one.uid),
        one.name,
        str(one.cursor),
        Text(units.count(one.dropped), style="bold red" if one.dropped else ""),
        units.count(one.lag_frames),
        units.size(one.lag_bytes),
        units.seconds(one.lag_seconds),
        age_of(one.since_ms),
        f"{units.seconds(one.reported_seconds_ago)} ago",
    )
