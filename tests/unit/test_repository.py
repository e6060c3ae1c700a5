"""House rules that no linter knows: docstrings of modules, lengths, forbidden words, links, versions."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import arclyd
from arclyd.daemon import config

if TYPE_CHECKING:
    import msgspec

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted(path for folder in ("arclyd", "arclyctl") for path in (ROOT / folder).rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
PYTHON = CODE + EXAMPLES + sorted((ROOT / "tests").rglob("*.py"))
NATIVE = sorted((ROOT / "arclyd" / "ring").rglob("*.[ch]"))
TEXTS = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "benchmarks").glob("*.md"),
        ROOT / "systemd" / "README.md",
    )
)
MAX_LINES = 500

UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK|TBD|lorem|for now|not (?:yet )?implemented)\b", re.IGNORECASE)
SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?:\[[a-z, -]+\]|:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?(.*)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for path in PYTHON:
        tree = ast.parse(path.read_text())
        if tree.body and len((ast.get_docstring(tree) or "").partition("\n")[0]) < 20:
            silent.append(name(path))
    assert len(PYTHON) > 50
    assert silent == []


def test_every_file_is_short_enough_to_read() -> None:
    lengths = {name(path): len(path.read_text().splitlines()) for path in PYTHON + NATIVE}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_nothing_is_left_for_later() -> None:
    unfinished = {name(path): UNFINISHED.findall(path.read_text()) for path in CODE + NATIVE}
    # A document may quote a word of these as code.
    unfinished |= {name(path): UNFINISHED.findall(re.sub(r"`[^`\n]*`", "", path.read_text())) for path in TEXTS}
    assert {path: found for path, found in unfinished.items() if found} == {}


def test_nobody_imports_shared_memory_with_a_tracker() -> None:
    # The tracker unlinks segments that other processes still use.
    imports = {
        name(path): [node for node in ast.walk(ast.parse(path.read_text())) if imports_tracked_memory(node)]
        for path in PYTHON
    }
    assert [path for path, found in imports.items() if found] == []


def imports_tracked_memory(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.startswith("multiprocessing.shared_memory") for alias in node.names)
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multiprocessing"):
        return "shared_memory" in {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return False


def test_every_suppressed_warning_has_its_reason_beside_it() -> None:
    bare = [
        f"{name(path)}: {line.strip()}"
        for path in CODE + EXAMPLES
        for line in path.read_text().splitlines()
        for reason in SUPPRESSION.findall(line)
        if len(reason.strip(" -:#")) < 5
    ]
    assert bare == []


def test_no_module_changes_its_own_names() -> None:
    changing = [
        name(path)
        for path in CODE
        if any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(path.read_text())))
    ]
    assert changing == []


def test_no_module_is_a_drawer_for_everything() -> None:
    assert [name(path) for path in PYTHON if path.stem in {"utils", "util", "helpers", "common", "misc"}] == []


def test_links_inside_the_project_lead_somewhere() -> None:
    broken = [
        f"{name(path)}: {target}" for path in TEXTS for target in LINK.findall(path.read_text()) if dead(path, target)
    ]
    assert broken == []


def dead(page: Path, target: str) -> bool:
    if "://" in target or target.startswith("mailto:"):
        return False
    file, _, anchor = target.partition("#")
    linked = (page.parent / file).resolve() if file else page
    if not linked.exists() or not linked.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(linked)


def anchors(path: Path) -> set[str]:
    """The anchors a forge makes of the headings of a Markdown file."""
    headings = HEADING.findall(path.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_document_is_reachable_from_the_front_page() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        targets = {(page.parent / target.partition("#")[0]).resolve() for target in LINK.findall(page.read_text())}
        waiting += [page for page in targets if page.suffix == ".md" and page.exists() and page not in reached]
    assert [name(path) for path in TEXTS if path.resolve() not in reached] == []


def test_python_in_the_documents_compiles_and_names_what_there_is() -> None:
    used: set[str] = set()
    for path in TEXTS:
        for block in PYTHON_BLOCK.findall(path.read_text()):
            compile(block, name(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            used |= set(re.findall(r"\barclyd\.([A-Za-z_]\w*)", block))
    assert {"Publisher", "Subscriber"} <= used
    assert used <= set(arclyd.__all__)


def test_the_project_has_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == arclyd.__version__
    assert "Unreleased" in HEADING.findall((ROOT / "CHANGELOG.md").read_text())


def test_make_explains_every_verb_it_has() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))


def test_the_configuration_reference_names_every_key_and_its_default() -> None:
    text = (ROOT / "docs" / "reference" / "configuration.md").read_text()
    server, apps = text.partition("## `[apps.NAME.publish]`")[0].partition("## `[apps.NAME]`")[::2]
    assert table(server) == defaults(config._Server, config._Server())
    assert table(apps) == defaults(config._App, config.AppConfig())


def table(text: str) -> dict[str, str]:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|", text, re.MULTILINE)
    return {key: value.strip(' `"') for key, value in rows}


def defaults(keys: type[msgspec.Struct], values: Any) -> dict[str, str]:
    found = {key: getattr(values, key, None) for key in keys.__struct_fields__}
    return {key: shown(value) for key, value in found.items()}


def shown(value: object) -> str:
    """A default as the document writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value).lower()
