"""The bytes of an FLV stream into an `Intake`, as a file or the body of a request has them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.flv import AUDIO_TAG, VIDEO_TAG
from arclyd.media.formats.flv_reader import FlvReader, TagLimits
from arclyd.protocols.rtmp import amf0

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from arclyd.ingest.flv.intake import Intake
    from arclyd.ingest.limits import Limits

log: Final = logging.getLogger(__name__)

_KINDS: Final = {VIDEO_TAG: TrackKind.VIDEO, AUDIO_TAG: TrackKind.AUDIO}


class TagStream:
    """Feeds ``intake``; ``limits``: of its tags."""

    def __init__(self, intake: Intake, limits: Limits) -> None:
        self._intake = intake
        self._reader = FlvReader(TagLimits(limits.video, limits.audio))

    def receive(self, data: Buffer) -> None:
        """The next bytes.

        Raises:
            MediaError: they are no FLV, or a tag is too large.
            PublisherClosed, WireError: as `Intake.receive`.
        """
        for tag in self._reader.receive(data):
            kind = _KINDS.get(tag.kind)
            if kind is not None:
                self._intake.receive(kind, tag.timestamp, tag.body)
                continue
            try:
                self._intake.data(amf0.decode(tag.body))
            except WireError as error:
                log.debug("a script tag is left out: %s", error)
