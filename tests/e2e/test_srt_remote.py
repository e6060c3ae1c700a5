"""`arclyd push` and `arclyd pull` by SRT against a gateway of our own: every access unit, and connections made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, ended, reader, received
from tests.e2e.srt import SrtGateway
from tests.e2e.test_rtmp_remote import COPY, complete, publish_to_a_reader
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Spawner

PASSPHRASE = "correct horse battery"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    return path


@pytest.mark.parametrize(("picture", "sound"), [("h264-b", "aac"), ("hevc", "libopus")])
def test_what_is_pushed_arrives(spawn: Spawner, picture: str, sound: str) -> None:
    clip = clips.clip(picture, sound)
    gateway, there = SrtGateway(spawn), reader(spawn, COPY)
    spawn(ARCLYD, "push", KEY, gateway.url(f"publish:{COPY}"), name="push")
    with arclyd.Publisher(KEY, clip.tracks) as publisher:
        publish_to_a_reader(publisher, clip)
        there.await_line("frame")
    ended(COPY)
    tracks, _ = received(there)
    complete(tracks, clip)


def test_what_is_pulled_arrives(spawn: Spawner, secret: Path) -> None:
    clip = clips.clip("hevc", "aac")
    gateway = SrtGateway(spawn, "--passphrase-file", f"live={secret}")
    there = reader(spawn, COPY)
    url = gateway.url(f"#!::r={KEY}", "latency=200", f"passphrase_file={secret}")
    spawn(ARCLYD, "pull", url, COPY, name="pull")
    with arclyd.Publisher(KEY, clip.tracks) as publisher:
        publish_to_a_reader(publisher, clip)
        there.await_line("frame")
        with arclyd.connect() as control:
            said = control.info(COPY).metadata
    assert said.ingest_protocol == "srt"
    assert said.publisher_addr == f"127.0.0.1:{gateway.port}"
    ended(COPY)
    tracks, _ = received(there)
    complete(tracks, clip)


def test_a_server_that_goes_away_is_found_again(spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = SrtGateway(spawn)
    pushing = spawn(ARCLYD, "push", KEY, gateway.url(f"publish:{COPY}"), name="push")
    with arclyd.Publisher(KEY, clip.tracks) as publisher, arclyd.connect() as control:
        clips.publish(publisher, clip.samples)
        wait_until(lambda: any(s.key == COPY and s.qos.keyframes for s in control.list_streams()), what="the copy")
        gateway.script.process.terminate()
        gateway.script.wait()
        wait_until(lambda: "again in 1 s" in pushing.errors, what="the loss to be noticed")
        SrtGateway(spawn, bind=f"127.0.0.1:{gateway.port}")
        clips.publish(publisher, clip.samples, shift=clips.Fraction(4))
        wait_until(lambda: control.info(COPY).epoch == 2, what="the copy to go on")


def test_a_refusal_is_told_in_words_and_tried_again(spawn: Spawner, secret: Path) -> None:
    gateway = SrtGateway(spawn, "--passphrase-file", f"safe={secret}")
    pulling = spawn(ARCLYD, "pull", gateway.url("read:live/none"), COPY, name="pull")
    wait_until(lambda: "the server has no such stream (1404)" in pulling.errors, what="the refusal")
    wait_until(lambda: "again in 2 s" in pulling.errors, what="another try")
    with arclyd.Publisher("safe/cam", [arclyd.Track.data()]):
        url = gateway.url("read:safe/cam", "passphrase=another%20passphrase")
        wrong = spawn(ARCLYD, "pull", url, COPY, name="pull")
        wait_until(lambda: "wrong passphrase (10)" in wrong.errors, what="the refusal")
        without = spawn(ARCLYD, "pull", gateway.url("read:safe/cam"), COPY, name="pull")
        wait_until(lambda: "one side has a passphrase, the other has none (11)" in without.errors, what="the refusal")
    nobody = spawn(ARCLYD, "push", KEY, "srt://127.0.0.1:9?streamid=x&latncy=3", name="push")
    assert nobody.wait() == arclyd.errors.WireError.exit_code
    assert "a URL has no 'latncy'" in nobody.errors
