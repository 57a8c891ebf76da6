"""Documents that cannot lie: what they name exists, and what exists is named."""

import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from service.app import create_app
from service.base import config
from service.base.config import Settings
from service.cli import hamgate
from service.cli.settings import as_example
from service.core.webhooks.schedule import PAUSES_SECONDS
from service.pure.events import MEANINGS, EventType
from service.pure.policy import RULES, Policy
from tests import guided

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") or part == "node_modules" for part in path.parts)
)
README = (ROOT / "README.md").read_text()
PACKAGES = [
    document.parent
    for document in DOCUMENTS
    if document.name == "README.md"
    and (document.parent / "__init__.py").exists()
    and not document.is_relative_to(ROOT / "tests")
    and document.parent.name != "embed"  # that one is for those who put the widget on a page
]


def commands(group: click.Group, prefix: str = "hamgate") -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"{prefix} {name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists(document: Path) -> None:
    known = set(commands(hamgate)) | {"hamgate"}
    named = re.findall(r"(?:^|`|\$ |bin/)(hamgate(?: [a-z]+)*)", document.read_text(), re.MULTILINE)

    assert [name for name in named if not _is_command(name, known)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = set(config.VARIABLES) | {f"{name}_FILE" for name in config.VARIABLES} | {"HAMGATE_DATA"}
    named = re.findall(r"\bHAMGATE_[A-Z_]*[A-Z]\b(?!…)", document.read_text())

    assert set(named) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_route_that_is_named_exists(document: Path, settings: Settings) -> None:
    rules = {
        re.sub(r"<(?:\w+:)?(\w+)>", "X", rule.rule)
        for rule in create_app(settings).url_map.iter_rules()
    }
    named = re.findall(
        r"`(?:GET |POST )?(/(?:api|docs|openapi|schemas|livez|readyz|metrics)[^\s`?]*)",
        document.read_text(),
    )

    assert [path for path in named if re.sub(r"{\w+}", "X", path) not in rules] == []


def test_the_example_of_the_environment_is_up_to_date() -> None:
    """If it is not: `hamgate settings --example > deploy/env.example`."""
    assert (ROOT / "deploy" / "env.example").read_text() == as_example()


def test_every_line_of_the_example_may_be_used_as_it_stands() -> None:
    lines = [line.removeprefix("#") for line in as_example().splitlines() if "=" in line]
    given = {name: value for name, _, value in (shlex.split(x)[0].partition("=") for x in lines)}

    assert config.from_environ(given) == config.from_environ({})


def test_the_readme_lists_every_rule_in_its_order() -> None:
    positions = [README.index(f"`{rule.__name__}`") for rule in RULES]

    assert positions == sorted(positions)


def test_the_readme_lists_every_event_with_what_it_means() -> None:
    listed = re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| (.+) \|$", README, re.MULTILINE)

    assert dict(listed) == MEANINGS
    assert list(MEANINGS) == list(EventType)


def test_the_documentation_of_webhooks_tells_their_schedule() -> None:
    text = " ".join((ROOT / "service" / "core" / "webhooks" / "README.md").read_text().split())
    units = {"s": 1, "min": 60, "h": 3600}
    (row,) = re.findall(r"\| retries \| after ([^|;]+?), a tenth", text)
    told = []
    for part in re.split(r", | and ", row):
        amount, unit = part.split()
        told.append(int(amount) * units[unit])

    assert tuple(told) == PAUSES_SECONDS


def test_the_readme_names_the_default_error_budget() -> None:
    assert f"{Policy().hold_at_most * 100:g} %" in README
    assert f"{Policy().mark_at_most * 100:g} %" in README


def test_the_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"(?:^|`)make ([a-z]+)", document.read_text(), re.MULTILINE)
        assert set(named) <= targets, document


def test_ci_runs_the_readmes_test_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    steps = [shlex.split(line) for line in lines if line and not line.startswith("#")]

    assert steps[-1] == ["make", "test"]
    assert all(step[0] in ("set", "cd") for step in steps[:-1])


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_is_named_in_its_packages_readme(package: Path) -> None:
    readme = (package / "README.md").read_text()
    entries = {
        path.name.removesuffix(".py") + ("/" if path.is_dir() else "")
        for path in package.iterdir()
        if (path.suffix == ".py" and path.stem not in ("__init__", "__main__"))
        or (path / "__init__.py").exists()
    }

    assert sorted(name for name in entries if f"`{name}`" not in readme) == []


def test_every_threat_has_tests_that_exist() -> None:
    exist = named_in(ROOT / "tests")

    for threat, control, named in threats():
        assert threat, named
        assert control, threat
        assert named, threat
        assert named <= exist, (threat, named - exist)


def test_every_test_of_security_is_of_a_threat() -> None:
    named = {name for _, _, tests in threats() for name in tests}

    assert named_in(ROOT / "tests" / "security") - named == set()


@pytest.mark.parametrize("target", guided.TARGETS)
def test_what_atheris_fuzzes_is_a_test_of_properties(target: str) -> None:
    module, name = guided.TARGETS[target]

    test = getattr(importlib.import_module(f"tests.{module}"), name)
    assert hasattr(test, "hypothesis")


def named_in(folder: Path) -> set[str]:
    written = "\n".join(path.read_text() for path in folder.rglob("test_*.py"))
    return set(re.findall(r"^(?:async )?def (test_\w+)", written, re.MULTILINE))


def threats() -> list[tuple[str, str, set[str]]]:
    """Give the table of SECURITY.md: threat, control, names of tests."""
    table = (ROOT / "SECURITY.md").read_text().partition("\n|---|---|---|\n")[2]
    rows = [[cell.strip() for cell in row.split("|")] for row in table.splitlines()]

    assert len(rows) > 20
    return [
        (threat, control, set(re.findall(r"`(test_\w+)`", tests)))
        for _, threat, control, tests, _ in rows
    ]


def _is_command(name: str, known: set[str]) -> bool:
    """Whether a command or, where words follow it, the beginning is one."""
    words = name.split()
    return any(" ".join(words[:count]) in known for count in range(len(words), 1, -1)) or (
        len(words) == 1
    )
