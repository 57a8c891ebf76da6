"""What the code may not do, whoever writes it; the import contracts are in pyproject.toml."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("service", "workers", "classifier")

# The edges at which a fault of ours must not end the process, or must reach its own caller.
BROAD_HANDLERS = {
    "service/api/arrivals.py": "answered before Flask begins, as the routes answer it",
    "service/ledger/db.py": "a group commit gives each caller its own error",
    "service/front.py": "the server's interface is told of a fault of ours by an answer",
    "service/base/grouping.py": "whatever a group met with is raised to each caller",
    "service/serving/problems.py": "registered for the request handler",
    "service/pure/scoring.py": "the scoring door never raises",
    "service/base/supervision.py": "a supervised child reports and ends",
    "workers/delivery.py": "an attempt that fails through a fault of ours is noted as failed",
}
# Who may read the environment: the edges that make the settings, and those that start programs.
ENVIRONMENT_READERS = {
    "service/app.py",
    "service/operations/backups/postgres.py",
    "service/cli/__init__.py",
    "service/cli/opening.py",
    "service/operations/up.py",
    "service/web.py",
    "workers/__main__.py",
    "workers/context.py",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def test_only_the_edges_catch_everything() -> None:
    found = set()
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = (
                    {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
                    if (node.type)
                    else {"BaseException"}
                )
                if caught & {"Exception", "BaseException"} and not _reraises(node):
                    found.add(name)

    assert found <= BROAD_HANDLERS.keys()


def test_no_caught_exception_is_dropped_without_a_word() -> None:
    silent = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(step, ast.Pass) for step in node.body)
        and not _explained(name, node)
    ]

    assert silent == []


def test_only_the_edges_read_the_environment() -> None:
    readers = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in ("environ", "getenv")
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }

    assert readers <= ENVIRONMENT_READERS


def test_what_a_checker_is_told_to_overlook_has_its_reason_beside_it() -> None:
    said = re.compile(r"#\s*(?:noqa: [A-Z]+\d+ - |type: ignore\[[a-z-]+\]  # )\S")
    silent = [
        f"{path.relative_to(ROOT)}:{token.start[0]}"
        for package in (*PACKAGES, "tests")
        for path in sorted((ROOT / package).rglob("*.py"))
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT
        and re.search(r"noqa|type: ?ignore|nosec|pragma: ?no", token.string)
        and not said.match(token.string)
    ]

    assert silent == []


def test_nothing_is_opened_at_import() -> None:
    openers = {"connect", "create_engine", "load", "Redis", "from_environ", "Database", "Doorbell"}
    opened = [
        f"{name}:{call.lineno}"
        for name, tree in modules()
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr)
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and _called(call) in openers
    ]

    assert opened == []


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 400
    }

    assert long == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is_for(package: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]

    assert silent == []


def _called(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _reraises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))


def _explained(name: str, handler: ast.ExceptHandler) -> bool:
    lines = (ROOT / name).read_text().splitlines()[handler.lineno - 1 : handler.end_lineno]
    return any("#" in line for line in lines)


def test_the_web_processes_carry_no_classifier() -> None:
    """Each of them would pay for it with some 20 MB and never score."""
    loaded = "import service.app, sys; print([m for m in ('numpy', 'scipy') if m in sys.modules])"
    said = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"
