"""The body of a request: a transport stream or FLV, which its first bytes tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd.ingest.flv.intake import Intake as FlvIntake
from arclyd.ingest.flv.tag_stream import TagStream
from arclyd.ingest.ts.intake import Intake as TsIntake
from arclyd.media.formats.flv_reader import SIGNATURE

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from arclyd.client.publisher import Publisher
    from arclyd.ingest.limits import Limits
    from arclyd.media.track import Track


class Body:
    """One body; ``program``: of a transport stream, None: the first; ``limits``: of frames."""

    def __init__(self, program: int | None, limits: Limits) -> None:
        self._limits = limits
        self._head: bytes | None = b""
        self._intake: TsIntake | FlvIntake = TsIntake(program, limits)
        self._sink: TsIntake | TagStream = self._intake

    def receive(self, data: Buffer) -> None:
        """The next bytes. Raises `ArclydError`: they can't be published."""
        if self._head is not None:
            data = self._head + bytes(data)
            self._head = data if len(data) < len(SIGNATURE) else None
            if self._head is not None:
                return
            if data.startswith(SIGNATURE):
                self._intake = FlvIntake()
                self._sink = TagStream(self._intake, self._limits)
        self._sink.receive(data)

    def finish(self) -> None:
        """No more will come."""
        self._intake.finish()

    def news(self) -> dict[str, object]:
        """What there is to say of it now."""
        protocol = "flv+http" if isinstance(self._sink, TagStream) else "mpegts+http"
        return {**self._intake.news(), "ingest_protocol": protocol}

    @property
    def begun(self) -> bool:
        """It is known what tracks come."""
        return self._intake.begun

    @property
    def live(self) -> bool:
        """Frames go into the ring."""
        return self._intake.live

    @property
    def wants_claim(self) -> bool:
        """The stream is to be claimed."""
        return self._intake.wants_claim

    def tracks(self) -> list[Track]:
        """The tracks it is to be claimed with."""
        return self._intake.tracks()

    def begin(self, publisher: Publisher) -> None:
        """The claim was granted."""
        self._intake.begin(publisher)

    def release(self) -> Publisher | None:
        """The stream is over."""
        return self._intake.release()

    def interrupt(self) -> None:
        """It broke off."""
        self._intake.interrupt()
