"""What our code may not do, since a promise hangs on it: the rules that ruff's `S` does not know.

Ruff's `S` are the checks of bandit, and run with every `make test`. What they do not see, or what
has to be set aside somewhere, stands here with its reason.
"""

import ast
import functools
import re
from collections.abc import Iterator

import pytest

from tests.test_architecture import PACKAGES, ROOT, modules

# Whose HTML is ours, though it is no literal, and why it may be trusted.
RAW_HTML = {
    "service/api/docs.py": "escaped first; only <code> is put around it",
    "service/embed/own.py": "markdown.render: through the list of allowed tags",
    "service/embed/thread.py": "markdown.render: through the list of allowed tags",
}
# SQL that is put together, and of what: names and numbers of ours, never of a stranger. What
# psycopg composes of `sql.Identifier` needs no reason.
SQL_OF_PIECES = {
    "service/ledger/db.py": "pragmas, constants",
    "service/operations/persons/scrubbing.py": "names of tables, constants",
    "service/operations/schema.py": "names of tables and numbers, constants",
}
# Who draws lots that nobody gains anything by guessing; keys and tokens come from `secrets`.
PLAIN_CHANCE = {
    "classifier/dice.py": "the same shuffles on every machine, from a seed",
    "service/ledger/db.py": "ids, told to everybody: keys and receipts guard what they lead to",
    "service/core/webhooks/deliveries.py": "the jitter of a retry",
    "workers/classification.py": "whether new comments or tried ones are claimed first",
}
# Who opens connections at all, and whither. HTTP clients have a contract of their own.
CONNECTS = {
    "service/serving/bodies.py": "opens none: waits for what a client sends",
    "service/serving/connections.py": "opens none: looks at those of clients",
    "service/front.py": "opens none: answers those of clients",
    "service/serving/gate.py": "opens none: has clients wait",
    "service/base/grouping.py": "opens none: tells who waits for a group",
    "service/base/logs.py": "opens none: writes lines when a loop has been once round",
    "service/base/loopback.py": "this installation's own server",
    "service/base/mail.py": "the operator's mail server",
    "service/core/openid.py": "the operator's OpenID provider",
    "service/operations/up.py": "looks which ports of this machine are free",
    "workers/delivery.py": "by `workers.outbound`",
    "workers/outbound/__init__.py": "webhooks, past the guard",
    "workers/outbound/network.py": "webhooks: the guard",
}
# What is compared as any text is, though its name sounds like a secret's.
COMPARED = {
    "classifier/store.py": "the SHA-256 of a file, which is beside it for everybody to read",
    "service/operations/backups/__init__.py": "marks of two secrets of the operator, for them",
    "service/core/comments.py": "the digest of a request's body, which its sender knows",
}
_SOUNDS_SECRET = re.compile(r"(?:^|_)(?:secret|token|mac|digest|signature|password|receipt|state)$")
NEVER_IMPORTED = {"pickle", "cPickle", "dill", "marshal", "shelve", "telnetlib", "ftplib", "xmlrpc"}
NEVER_CALLED = {"eval", "exec", "compile", "__import__", "render_template_string", "mktemp"}
SQL_TAKERS = {
    "text",
    "execute",
    "executemany",
    "executescript",
    "exec_driver_sql",
    "literal_column",
}


@functools.cache
def nodes() -> list[tuple[str, ast.AST]]:
    """Give every node of our code that a rule below looks at, and where it stands."""
    wanted = (ast.Call, ast.Compare, ast.Import, ast.ImportFrom)
    return [
        (name, node)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, wanted)
    ]


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Give every call of our code: where, the call, and the last name of what is called."""
    for name, node in nodes():
        if isinstance(node, ast.Call):
            yield name, node, _last_name(node.func)


def test_html_that_is_not_escaped_comes_from_where_it_is_safe() -> None:
    raw = {
        name
        for name, call, called in calls()
        if called == "Markup" and call.args and not isinstance(call.args[0], ast.Constant)
    }

    assert raw == RAW_HTML.keys()


def test_no_template_turns_escaping_off() -> None:
    templates = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".html", ".xml", ".txt") and "templates" in path.parts
    ]

    assert len(templates) > 20
    for path in templates:
        assert not re.search(r"\|\s*safe\b|autoescape\s+false", path.read_text()), path


def test_no_script_of_ours_makes_markup_of_text() -> None:
    sources = [
        *(ROOT / "service" / "embed" / "source").rglob("*.js"),
        *(ROOT / "service" / "dashboard" / "static").glob("*.js"),
    ]
    makers = (
        r"\.(?:inner|outer)HTML\s*\+?=(?!=)|insertAdjacentHTML|document\.write"
        r"|\beval\(|new Function"
    )

    assert len(sources) > 5
    for path in sources:
        assert not re.search(makers, path.read_text()), path


def test_sql_is_put_together_of_nothing_that_a_stranger_wrote() -> None:
    def is_of_pieces(written: ast.expr) -> bool:
        called = written.func if isinstance(written, ast.Call) else None
        return isinstance(written, ast.JoinedStr) or (
            isinstance(written, ast.BinOp)
            and isinstance(written.op, ast.Mod | ast.Add)
            and any(
                isinstance(side, ast.Constant) and isinstance(side.value, str)
                for side in (written.left, written.right)
            )
        ) or (
            isinstance(called, ast.Attribute)
            and called.attr in ("format", "join")
            and isinstance(called.value, ast.Constant)
        )  # fmt: skip

    found = {
        name
        for name, call, called in calls()
        if called in SQL_TAKERS and call.args and is_of_pieces(call.args[0])
    }

    assert {name for name in found if "/migrations/" not in name} == SQL_OF_PIECES.keys()


def test_nothing_that_runs_what_it_reads_is_used() -> None:
    imported = {
        (name, module.partition(".")[0])
        for name, node in nodes()
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in _modules_of(node)
    }

    assert {found for found in imported if found[1] in NEVER_IMPORTED} == set()
    assert {found for found in imported if found[1] in ("yaml", "joblib")} == set()
    assert {
        (name, called)
        for name, call, called in calls()
        if called in NEVER_CALLED and isinstance(call.func, ast.Name)
    } == set()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("shell", True), ("verify", False), ("allow_pickle", True), ("check_hostname", False)],
)
def test_no_call_gives_a_guard_away(keyword: str, value: object) -> None:
    given = [
        f"{name}:{call.lineno}"
        for name, call, _ in calls()
        for argument in call.keywords
        if argument.arg == keyword
        and isinstance(argument.value, ast.Constant)
        and argument.value.value is value
    ]

    assert given == []


def test_what_nobody_may_guess_is_not_drawn_by_plain_chance() -> None:
    drawn = {
        name
        for name, node in nodes()
        if isinstance(node, ast.Import | ast.ImportFrom) and "random" in _modules_of(node)
    }

    assert drawn == PLAIN_CHANCE.keys()


def test_only_few_open_connections() -> None:
    openers = {"socket", "asyncio", "smtplib", "urllib.request"}

    found = {
        name
        for name, node in nodes()
        if isinstance(node, ast.Import | ast.ImportFrom) and openers & set(_modules_of(node))
    }

    assert found == CONNECTS.keys()


def test_no_secret_is_compared_in_a_time_that_tells_of_it() -> None:
    """What the database compares is looked up by an index: of digests, which tell nothing."""
    found = {
        name
        for name, node in nodes()
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and not any(
            isinstance(side, ast.Constant) or _first_name(side)[:1].isupper()
            for side in (node.left, *node.comparators)
        )
        and any(
            _SOUNDS_SECRET.search(_last_name(side).lower())
            for side in (node.left, *node.comparators)
        )
    }

    assert found == COMPARED.keys()


def test_nothing_swallows_whatever_went_wrong() -> None:
    """Ruff finds bare handlers (`BLE`, `S110`), but not the same in a `with`."""
    swallowed = [
        f"{name}:{call.lineno}"
        for name, call, called in calls()
        if called == "suppress"
        and any(_last_name(one) in ("Exception", "BaseException") for one in call.args)
    ]

    assert swallowed == []


def _modules_of(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names]


def _last_name(named: ast.expr) -> str:
    """Give the last name of `a.b`, `a.b(…)` or `a["b"]`; empty if it has none."""
    match named:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case ast.Call(func=inner):
            return _last_name(inner)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def _first_name(named: ast.expr) -> str:
    while isinstance(named, ast.Attribute):
        named = named.value
    return named.id if isinstance(named, ast.Name) else ""
