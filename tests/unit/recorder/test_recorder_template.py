"""Where recordings lie: fields and strftime, and no way out of the place for what a stream says of itself."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import RequestRefused
from arclyd.recorder.template import PathTemplate, numbered

WHEN = datetime(2026, 3, 1, 14, 3, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/var/rec/{app}/{name}/%Y-%m-%d/%H-%M-%S.mp4", "/var/rec/live/cam1~hd/2026-03-01/14-03-07.mp4"),
        ("{name}-{number:04}-{epoch}.ts", "cam1~hd-0012-3.ts"),
        ("100%%.mkv", "100%.mkv"),
        ("{{{app}}}.ts", "{live}.ts"),
    ],
)
def test_fields_and_directives_are_filled_in(template: str, path: str) -> None:
    assert PathTemplate(template).path("live/cam1~hd", WHEN, number=12, epoch=3) == Path(path)


@pytest.mark.parametrize(
    ("template", "root"),
    [
        ("/var/rec/{app}/x.mp4", "/var/rec"),
        ("/var/rec/%Y/{app}.mp4", "/var/rec"),
        ("/var/rec-{app}/x.mp4", "/var"),
        ("{name}.ts", "."),
        ("out/x.ts", "out"),
        ("/{name}.ts", "/"),
    ],
)
def test_the_root_is_what_all_paths_have_in_common(template: str, root: str) -> None:
    assert PathTemplate(template).root == Path(root)


@pytest.mark.parametrize(
    "template",
    ["", "dir/", "{key}.ts", "{app.x}.ts", "{app!r}.ts", "{app[0]}.ts", "{}.ts", "{0}.ts", "{app", "a}b.ts",
     "{name:>300}.ts", "{number:999999999}.ts", "{number:{epoch}}.ts"],
)  # fmt: skip
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(RequestRefused):
        PathTemplate(template)


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_stream_can_not_lead_out_of_its_place(app: str, name: str) -> None:
    # Keys like these are refused everywhere; here they still do no harm.
    made = PathTemplate("/var/rec/{app}/{name}/x.ts").path(f"{app}/{name}", WHEN, number=1, epoch=1)
    assert made.parts[:3] == ("/", "var", "rec")
    assert len(made.parts) == 6
    assert not any(part.startswith(".") for part in made.parts)


@given(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", fullmatch=True))
def test_a_name_stays_as_it_is_also_where_it_looks_like_a_directive(name: str) -> None:
    assert PathTemplate("%Y/{name}").path(f"live/{name}", WHEN, number=1, epoch=1) == Path("2026", name)


def test_names_for_a_place_that_is_taken() -> None:
    assert [str(path) for path in itertools.islice(numbered(Path("a/b.c.mp4")), 3)] == [
        "a/b.c.mp4", "a/b.c-2.mp4", "a/b.c-3.mp4",
    ]  # fmt: skip
