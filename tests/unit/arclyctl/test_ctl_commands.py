"""What the verbs print, given answers of the daemon."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import replace

import click
import pytest

from arclyctl.cli import VERBS, cli
from arclyd.cli import cli as daemon_cli
from arclyd.control.reports import Event, GopEntry, Qos, StreamInfo, SubscriberInfo, Version
from arclyd.control.tokens import is_valid
from arclyd.errors import DaemonUnavailable, InvalidKey, StreamNotFound, SubscriberNotFound


def names(cls: type) -> set[str]:
    return {item.name for item in dataclasses.fields(cls)}


def test_ls_names_state_tracks_and_rates(ask):
    result = ask("ls")
    assert result.exit_code == 0
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["KEY", "STATE", "TRACKS", "FPS", "BITRATE", "SUBS", "REGION", "UP"]
    assert first.startswith("live/cam1")
    assert "h264 1280x720 + aac 48 kHz 2ch" in first
    assert "2.37 Mb/s" in first
    assert second.split()[-9:-8] == ["0"] or " 0 " in second


def test_ls_of_one_application(ask, control, stream):
    control.streams.append(stream("lab/x"))
    result = ask("ls", "lab", "--json")
    assert [one["key"] for one in json.loads(result.stdout)["streams"]] == ["lab/x"]


def test_ls_of_nothing_says_so_apart_from_its_output(ask, control):
    control.streams.clear()
    result = ask("ls")
    assert result.stdout == ""
    assert result.stderr == "no streams\n"
    assert json.loads(ask("ls", "--json").stdout) == {"streams": []}


def test_ls_json_has_the_fields_of_the_messages(ask):
    first, _ = json.loads(ask("--json", "ls").stdout)["streams"]
    assert set(first) == names(StreamInfo)
    assert set(first["qos"]) == names(Qos)
    assert first["state"] == ["publishing"]


def test_info_shows_publisher_region_and_tracks(ask):
    text = ask("info", "live/cam1").stdout
    assert "process 4711 of user 1000, encoder" in text
    assert "/arclyd.0a1b2c3d.live@cam1.00000001" in text
    assert "site=roof" in text
    assert "1/90000" in text


def test_info_of_a_stream_without_publisher(ask, control):
    control.streams[0] = replace(control.streams[0], publisher=None, state=("interrupted",), interrupted_seconds=2.5)
    text = ask("info", "live/cam1").stdout
    assert "none" in text
    assert "2.5 s ago" in text


def test_stats_of_one_stream_adds_state_and_picture_to_its_figures(ask):
    figures = json.loads(ask("stats", "live/cam1", "--json").stdout)
    assert set(figures) == names(Qos) | {"state", "width", "height"}
    assert (figures["fps"], figures["width"], figures["height"]) == (25.0, 1280, 720)


def test_stats_of_all_streams(ask):
    streams = json.loads(ask("stats", "--json").stdout)["streams"]
    assert [one["key"] for one in streams] == ["live/cam1", "live/cam2"]


def test_stats_again_and_again_is_a_line_of_json_each(ask):
    result = ask("stats", "live/cam1", "--watch", "--json", "--count", "3", "--interval", "0.05")
    lines = result.stdout.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["live/cam1"] * 3


def test_stats_again_and_again_in_a_pipe_is_a_table_each(ask):
    result = ask("stats", "--count", "2", "--interval", "0.05")
    assert result.stdout.count("KEY EVERY") == 2
    assert "\x1b" not in result.stdout


def test_stats_of_one_stream_shows_its_tracks(ask):
    text = ask("stats", "live/cam1").stdout
    assert "TIME BASE" in text
    assert "64.2 kb/s" in text


def test_gop_says_why_one_can_not_be_joined(ask):
    broken, whole = ask("gop", "live/cam1").stdout.splitlines()[1:]
    assert "overwritten by the writer" in broken
    assert "joinable" in whole
    index = json.loads(ask("gop", "live/cam1", "--json").stdout)
    assert index["key"] == "live/cam1"
    assert set(index["entries"][0]) == names(GopEntry)


def test_subscribers_shows_lag_and_loss(ask, control, reader):
    control.readers.append(reader)
    row = ask("subscribers").stdout.splitlines()[1]
    assert row.split()[:5] == ["live/cam1", "3", "812", "1000", "recorder"]
    assert "240 ms" in row
    found = json.loads(ask("subscribers", "live/cam1", "--json").stdout)["subscribers"]
    assert set(found[0]) == names(SubscriberInfo)
    assert ask("subscribers", "live/cam2").stderr == "no subscribers on live/cam2\n"


def test_events_are_one_line_each_and_missed_ones_are_told(ask, control):
    control.kept += [
        Event(1, 1_700_000_000_000, "publish_started", "live/cam1", {"pid": 4711, "name": "two words"}),
        Event(5, 1_700_000_000_000, "left", "live/cam1", missed=3),
    ]
    lines = ask("events").stdout.splitlines()
    assert "publish_started" in lines[0]
    assert "name='two words'" in lines[0]
    assert "3 events before this one were missed" in lines[1]
    assert len(lines) == 3
    assert control.done == [("events", 0, False)]
    parsed = [json.loads(line) for line in ask("events", "--json").stdout.splitlines()]
    assert [one["seq"] for one in parsed] == [1, 5]
    assert set(parsed[0]) == names(Event)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), (0, False)),
        (("--follow",), (None, True)),
        (("-f", "--since", "7"), (7, True)),
        (("--since", "7"), (7, False)),
    ],
)
def test_events_begin_where_asked(ask, control, words, asked):
    ask("events", *words)
    assert control.done == [("events", *asked)]


def test_kick_and_end_say_what_they_did(ask, control, reader):
    control.readers.append(reader)
    assert ask("kick", "live/cam1", "3").stdout == "kicked subscriber 3 of live/cam1\n"
    assert ask("kick", "live/cam1", "0").stdout == "kicked the publisher of live/cam1\n"
    assert json.loads(ask("kick", "live/cam1", "3", "--json").stdout) == {"key": "live/cam1", "id": 3}
    assert ask("end", "live/cam1").stdout == "ended live/cam1\n"
    assert json.loads(ask("end", "live/cam1", "--json").stdout) == {"key": "live/cam1"}
    assert control.done == [("kick", "live/cam1", 3), ("kick", "live/cam1", 0), ("kick", "live/cam1", 3),
                            ("end", "live/cam1"), ("end", "live/cam1")]  # fmt: skip


def test_kick_of_nobody(ask):
    error = ask("kick", "live/cam1", "9").exception
    assert isinstance(error, SubscriberNotFound)
    assert ask("kick", "live/cam1", "x").exit_code == 2


def test_version_with_and_without_daemon(ask, silent):
    both = json.loads(ask("version", "--json").stdout)
    assert set(both["client"]) == {"version", "protocol", "layout"}
    assert set(both["daemon"]) == names(Version)
    alone = ask("version", "--json", obj=silent)
    assert alone.exit_code == 0
    assert json.loads(alone.stdout)["daemon"] is None
    assert "no arclyd answers" in ask("version", obj=silent).stdout


def test_top_needs_a_terminal(ask):
    result = ask("top")
    assert result.exit_code == 2
    assert "needs a terminal" in result.stderr


@pytest.mark.parametrize("verb", ["info", "stats", "gop", "tail", "subscribers", "end"])
@pytest.mark.parametrize("key", ["../x", "a", "a/b/c", "", "a/ b", "a/" + "b" * 298])
def test_every_key_goes_through_the_one_validator(ask, verb, key):
    assert isinstance(ask(verb, key).exception, InvalidKey)


def test_an_unknown_key_names_its_nearest(ask):
    error = ask("info", "live/cam3").exception
    assert isinstance(error, StreamNotFound)
    assert error.__notes__ == ["did you mean live/cam2 or live/cam1?"]


def test_a_key_in_the_wrong_application_is_found_by_its_name(ask, control, stream):
    control.streams.append(stream("laboratory/microscope"))
    error = ask("info", "live/microscope").exception
    assert "laboratory/microscope" in error.__notes__[0]


def test_an_unknown_key_without_a_likeness_stays_as_it_is(ask):
    error = ask("info", "zzz/qqq").exception
    assert isinstance(error, StreamNotFound)
    assert not hasattr(error, "__notes__")


def test_no_daemon_is_its_own_error(ask, silent):
    error = ask("ls", "--socket", "/tmp/other.sock", obj=silent).exception
    assert isinstance(error, DaemonUnavailable)
    assert error.socket == "/tmp/other.sock"


def test_strangers_words_do_not_reach_the_terminal_as_commands(ask, control, reader):
    control.readers.append(replace(reader, name="\x1b[31mred[bold]x\x07\n"))
    text = ask("subscribers").stdout
    assert "\\x1b[31mred[bold]x\\x07\\n" in text
    assert "\x1b" not in text


def test_a_pipe_gets_whole_lines_without_colour_or_frame(ask, control, stream):
    control.streams = [stream("live/" + "c" * 64)]
    lines = ask("ls").stdout.splitlines()
    assert len(lines) == 2
    assert "c" * 64 in lines[1]
    assert not set("─│┃━") & set("".join(lines))


def test_a_forced_terminal_gets_colour_unless_told_not_to(ask, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    assert "\x1b[32m" in ask("ls").stdout
    assert "\x1b[32m" not in ask("ls", "--no-color").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in ask("ls").stdout


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_has_help_and_takes_the_global_options(ask, verb):
    result = ask(verb, "--help")
    assert result.exit_code == 0
    assert all(option in result.stdout for option in ("--socket", "--json", "--no-color"))
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    assert command.help
    for param in command.params:
        assert not isinstance(param, click.Option) or param.help, f"{verb} {param.name} has no help"


@pytest.mark.parametrize("verb", list(daemon_cli.verbs))
def test_every_verb_of_the_daemons_command_has_help(verb):
    command = daemon_cli.get_command(click.Context(daemon_cli), verb)
    assert command is not None
    assert command.help
    assert daemon_cli.verbs[verb].summary.endswith(".")


def test_tail_refuses_a_start_that_is_none(ask):
    result = ask("tail", "live/cam1", "--start", "sometime")
    assert result.exit_code == 2
    assert "'sometime' is none of live, keyframe, oldest" in result.stderr


@pytest.mark.parametrize("width", [70, 80, 100, 160])
def test_a_narrow_terminal_loses_columns_never_digits(ask, monkeypatch, width):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    text = ask("stats").stdout
    assert "…" not in text
    assert "2.31 Mb/s" in text
    assert ("HELD" in text) == (width == 160)


def test_a_token_is_one_that_servers_take(ask, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef\n")
    token = ask("token", "live/cam1", "--secret-file", str(secret), "--expires", "1h").stdout.strip()
    assert is_valid(b"0123456789abcdef", "live/cam1", token, time.time() + 3000)
    assert not is_valid(b"0123456789abcdef", "live/cam1", token, time.time() + 3700)
    said = json.loads(ask("token", "live/cam1", "--secret-file", str(secret), "--json").stdout)
    assert is_valid(b"0123456789abcdef", "live/cam1", said["token"], said["expires"] - 1)
    secret.write_bytes(b"short")
    assert ask("token", "live/cam1", "--secret-file", str(secret)).exit_code == 2
