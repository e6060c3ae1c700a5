"""The `arclyd` command: composition root of the command line.

A room joins by one line in `VERBS`; its module is imported when the verb is used.
"""

from __future__ import annotations

from typing import Final

from arclyd.command_line import LazyGroup, Verb, run, version_option

VERBS: Final = (
    Verb("serve", "arclyd.daemon.command:serve", "Run the daemon: registry, limits, QoS and events of all streams."),
    Verb("publish", "arclyd.ingest.file.command:publish", "Publish a media file, stdin or a test picture as a stream."),
    Verb("listen", "arclyd.ingest.listen:listen", "Take streams and play them: RTMP, RTSP, SRT, MPEG-TS, WebRTC."),
    Verb("pull", "arclyd.ingest.remote:pull", "Fetch a stream from another server and publish it: RTMP, SRT."),
    Verb("push", "arclyd.ingest.remote:push", "Send a stream to another server: RTMP, SRT, MPEG-TS over UDP."),
    Verb("record", "arclyd.recorder.command:record", "Record streams to files that play at every moment."),
    Verb("recordings", "arclyd.recorder.listing:recordings", "List what was recorded."),
    Verb("package", "arclyd.packagers.command:package", "Serve streams as HLS, LL-HLS and DASH over HTTP."),
)
"""Every verb of `arclyd`."""


cli: Final = LazyGroup(
    "arclyd",
    verbs=VERBS,
    params=[version_option("arclyd")],
    help="Live media through shared memory: one publisher, any number of zero-copy readers.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""The command."""


def main() -> int:
    """Run the command line of this process; returns the exit code."""
    return run(cli, "arclyd")
