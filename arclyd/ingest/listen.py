"""`arclyd listen PROTOCOL`: a line of the table a protocol."""

from __future__ import annotations

from typing import Final

from arclyd.command_line import LazyGroup, Verb

PROTOCOLS: Final = (
    Verb("rtmp", "arclyd.ingest.rtmp.command:rtmp", "RTMP and RTMPS: encoders publish, players play."),
    Verb("rtsp", "arclyd.ingest.rtsp.command:rtsp", "RTSP and RTSPS: encoders and cameras publish, players play."),
    Verb("srt", "arclyd.ingest.srt.command:srt", "SRT: encoders publish MPEG-TS, players play it."),
    Verb(
        "mpegts",
        "arclyd.ingest.mpegts.command:mpegts",
        "MPEG-TS over UDP (unicast and multicast), TCP and HTTP; FLV over HTTP.",
    ),
    Verb("webrtc", "arclyd.ingest.webrtc.command:webrtc", "WebRTC: browsers publish by WHIP and play by WHEP."),
)

listen: Final = LazyGroup(
    "listen",
    verbs=PROTOCOLS,
    help="Take streams from encoders, and play them, over a protocol.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""The command."""
