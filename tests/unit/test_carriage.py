"""The table of what each way carries says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from arclyd.ingest.webrtc import aiortc_engine, outflow
from arclyd.media.codecs import CodecId
from arclyd.media.formats import container, flv
from arclyd.media.formats.mpegts.content import Content
from arclyd.packagers.codec_names import PACKAGED
from arclyd.protocols.rtp import formats

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "carriage.md"
NAMES = {
    "H.264": CodecId.H264,
    "H.265": CodecId.H265,
    "AC-3": CodecId.AC3,
    "G.722": CodecId.G722,
    "G.711": CodecId.G711A,
}
"""Where the document's name is not the code's. Of the two kinds of G.711 one stands for both."""

CARRIED = {
    "RTMP: in, out; FLV: in": {*flv.FOURCC, *flv._SOUND_FORMATS},
    "RTSP: in, out": set(formats._NAMES.values()),
    "MPEG-TS by UDP, TCP, HTTP, SRT: in": {content.codec for content in Content} - {CodecId.RAW},
    "MPEG-TS, SRT: out": set(container.FORMATS["ts"].codecs),
    "WebRTC: in": set(aiortc_engine._CODECS.values()),
    "WebRTC: out": set(outflow.CARRIED),
    "HLS, DASH": set(PACKAGED),
}


def cells() -> list[list[str]]:
    """Rows of the table, the heading first."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("way", CARRIED)
def test_the_table_says_what_the_code_does(way: str) -> None:
    heading, *rows = cells()
    column = heading.index(way)
    told = {NAMES[row[0]] if row[0] in NAMES else CodecId[row[0].upper()] for row in rows if row[column]}
    assert told == CARRIED[way] - {CodecId.G711U}


def test_every_column_is_looked_at() -> None:
    assert cells()[0] == ["codec", *CARRIED]
