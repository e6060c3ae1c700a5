"""The registry as the control protocol shows it: streams, figures, applications, subscribers."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import TYPE_CHECKING

from arclyd.control.reports import AppInfo, Metadata, PublisherInfo, Qos, StreamInfo, SubscriberInfo, TrackQos
from arclyd.daemon import metadata, subscribers
from arclyd.daemon.access import Access
from arclyd.daemon.claims import KINDS
from arclyd.daemon.stream import ACTIVITIES, SECOND, Phase
from arclyd.errors import RegionError
from arclyd.media.codecs.ids import CodecId

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arclyd.daemon.config import AppConfig
    from arclyd.daemon.stream import Now, Publisher, Stream
    from arclyd.daemon.streams import Streams
    from arclyd.ring._ring import Counters, GopInfo, TrackInfo


def stream_info(streams: Streams, stream: Stream, now: Now) -> StreamInfo:
    """Everything about one stream."""
    counters, tracks = stream.sample(now)
    figures = _qos(streams, stream, now, counters, tracks)
    handle = stream.handle
    return StreamInfo(
        key=stream.key,
        state=stream.words(counters.last_publish_ns, now.ns),
        region=handle.name,
        region_id=handle.region_id,
        region_bytes=handle.size,
        ring_bytes=handle.ring_bytes,
        slots=handle.slots,
        layout=handle.layout,
        epoch=counters.epoch,
        head=counters.head,
        subscribers=figures.subscribers,
        publisher=_publisher(stream.publisher),
        metadata=metadata.overlay(stream.metadata, figures, stream.started_ms),
        qos=figures,
        activities={name: stream.active(name) for name in ACTIVITIES if stream.active(name)},
        created_at_ms=stream.created_ms,
        interrupted_seconds=(now.ns - stream.since_ns) / SECOND if stream.phase is Phase.INTERRUPTED else None,
    )


def stream_infos(streams: Streams, app: str | None, now: Now) -> Iterator[StreamInfo]:
    """Every stream, or those of an application, by key."""
    for stream in sorted(streams, key=lambda stream: stream.key):
        if app in (None, stream.app_name):
            with suppress(RegionError):  # of a region that contradicts itself; the next tick ends its stream
                yield stream_info(streams, stream, now)


def stream_metadata(streams: Streams, stream: Stream, now: Now) -> Metadata:
    """What is said of a stream, measured values over it."""
    return metadata.overlay(stream.metadata, qos(streams, stream, now), stream.started_ms)


def qos(streams: Streams, stream: Stream, now: Now) -> Qos:
    """Live figures of one stream, sampled now."""
    return _qos(streams, stream, now, *stream.sample(now))


def _qos(streams: Streams, stream: Stream, now: Now, counters: Counters, tracks: Sequence[TrackInfo]) -> Qos:
    views = tuple(_track(stream, track, now) for track in tracks)
    video = [view for view in views if view.kind == "video"]
    audio = [view for view in views if view.kind == "audio"]
    leading = video or audio or list(views)
    average = stream.qos.average(leading[0].id).fps if leading else 0.0
    gop = _representative_gop(stream)
    idle_since = stream.last_activity_ns(counters.last_publish_ns)
    return Qos(
        key=stream.key,
        fps=leading[0].fps if leading else 0.0,
        video_bitrate_bps=sum(view.bitrate_bps for view in video),
        audio_bitrate_bps=sum(view.bitrate_bps for view in audio),
        average_fps=average,
        average_video_bitrate_bps=sum(view.average_bitrate_bps for view in video),
        average_audio_bitrate_bps=sum(view.average_bitrate_bps for view in audio),
        total_frames=counters.total_frames,
        total_bytes=counters.total_bytes,
        keyframes=counters.keyframes,
        keyframe_interval_seconds=counters.keyframe_interval_ns / SECOND,
        gop_frames=gop.frames if gop else 0,
        gop_bytes=gop.bytes if gop else 0,
        longest_gop_frames=counters.longest_gop_frames,
        longest_gop_bytes=counters.longest_gop_bytes,
        largest_frame=counters.largest_frame,
        padding_bytes=counters.padding_bytes,
        held_frames=counters.held_frames,
        held_bytes=counters.held_bytes,
        retention_seconds=counters.retention_ns / SECOND,
        idle_seconds=max(0, now.ns - idle_since) / SECOND,
        subscribers=streams.subscriber_count(stream),
        tracks=views,
    )


def subscriber_infos(streams: Streams, key: str | None, now: Now) -> Iterator[SubscriberInfo]:
    """Subscribers of one stream, or of all."""
    chosen = list(streams) if key is None else [streams.get(key)]
    for stream in chosen:
        newest = stream.handle.counters().last_publish_ns
        for subscriber in streams.subscribers.on(stream.handle.region_id):
            yield subscribers.describe(subscriber, stream.handle, newest, now.ns)


def app_infos(streams: Streams) -> Iterator[AppInfo]:
    """Every application that is configured or has a stream, by name."""
    config = streams.config
    for name in sorted({*config.apps, *(stream.app_name for stream in streams)}):
        mine = [stream for stream in streams if stream.app_name == name]
        yield AppInfo(
            name=name,
            streams=len(mine),
            publishers=sum(stream.phase is not Phase.INTERRUPTED for stream in mine),
            subscribers=sum(streams.subscriber_count(stream) for stream in mine),
            region_bytes=sum(stream.handle.size for stream in mine),
            settings=_settings(config.app(name)),
        )


def _settings(app: AppConfig) -> dict[str, object]:
    """An application's settings, without its secrets."""
    plain = {field.name: getattr(app, field.name) for field in dataclasses.fields(app)}
    return {**plain, "publish": (app.publish or Access()).summary, "play": (app.play or Access()).summary}


def _publisher(publisher: Publisher | None) -> PublisherInfo | None:
    if publisher is None:
        return None
    party = publisher.party
    return PublisherInfo(party.peer.pid, party.peer.uid, party.name, publisher.connected, publisher.since_ms)


def _track(stream: Stream, track: TrackInfo, now: Now) -> TrackQos:
    rate, average = stream.qos.rate(track.id, now.ns), stream.qos.average(track.id)
    return TrackQos(
        id=track.id,
        kind=KINDS[track.kind] if track.kind < len(KINDS) else "data",
        codec=_codec_name(track.codec),
        time_base=track.time_base,
        width=track.width,
        height=track.height,
        sample_rate=track.sample_rate,
        channels=track.channels,
        config_generation=track.config_generation,
        frames=track.frames,
        keyframes=track.keyframes,
        bytes=track.bytes,
        fps=rate.fps,
        bitrate_bps=rate.bps,
        average_bitrate_bps=average.bps,
    )


def _codec_name(number: int) -> str:
    try:
        return CodecId(number).name.lower()
    except ValueError:  # a track of a newer publisher is shown, not refused
        return str(number)


def _representative_gop(stream: Stream) -> GopInfo | None:
    """The newest complete GOP; the growing one where there is no other."""
    gops = stream.handle.gops(2)
    return gops[-2] if len(gops) > 1 else gops[-1] if gops else None
