"""Backups: an installation in one file, made while it runs, and put back.

The one rule: what a backup holds is proven, not hoped. Every table's rows are counted and hashed
where they come from, where they are written, and where they are restored, and all three have to
agree.

Besides the ledger an installation needs its secret, or every author's receipt is void: where that
is the file in its home it goes along, where it comes from the environment it is the operator's to
keep, and a restore says when it is another one. People's sessions, keys and passwords are hashes
in the ledger. Redis holds nothing that has to survive.
"""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from service.base.config import SECRET_FILES, Settings
from service.base.errors import ConfigError, HamgateError
from service.base.files import draft
from service.ledger.db import utc_now
from service.operations import schema
from service.operations.backups import archive, postgres, rows, sqlite
from service.operations.backups.archive import BadArchive, Manifest
from service.operations.backups.sqlite import InUse

__all__ = [
    "Backup",
    "BadArchive",
    "InUse",
    "Manifest",
    "NotEmpty",
    "Restored",
    "make",
    "restore",
]

Progress = Callable[[int, int, str], None]

_LEDGER = {"sqlite": "ledger.db", "postgresql": "ledger.dump"}


class NotEmpty(HamgateError):
    """There is a ledger with something in it, which a restore would destroy."""


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive: where it is, what it holds, and its SHA-256."""

    path: Path
    manifest: Manifest
    sha256: str


def make(
    settings: Settings,
    where: Path,
    *,
    verify: bool = False,
    progress: Progress = lambda done, of, step: None,
) -> Backup:
    """Make a backup of a running or stopped installation.

    Args:
        settings: the installation's.
        where: a file to write, or a folder in which it gets a name by the time.
        verify: on PostgreSQL also load the dump into a scratch database and compare; on SQLite
            the copy is the ledger, and is compared anyway.
        progress: told what is done, of how much (0 where nobody knows), and in which step.

    Raises:
        ConfigError: there is no ledger, or the file cannot be written.
        HamgateError: the ledger or the copy is damaged, or a program is missing.
    """
    kind = _kind(settings)
    if kind == "sqlite" and not _ledger_file(settings).exists():
        raise ConfigError(f"there is no database at {_ledger_file(settings)}")
    moment = utc_now()
    path = where / f"hamgate-{moment:%Y%m%dT%H%M%SZ}.tar" if where.is_dir() else where
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            draft = Path(folder) / _LEDGER[kind]
            sums = (
                sqlite.copy(_ledger_file(settings), draft, progress)
                if kind == "sqlite"
                else _dump(settings, draft, verify, progress)
            )
            files = {_LEDGER[kind]: draft, **_secret_files(settings)}
            progress(0, 0, "writing the archive")
            manifest = Manifest(
                format=archive.FORMAT,
                made_by=importlib.metadata.version("hamgate"),
                made_at=moment,
                database=kind,
                revision=schema.revision(settings),
                secret=_mark(settings.signing_key()),
                parts={name: archive.part_of(file) for name, file in files.items()},
                tables=sums,
            )
            return Backup(path, manifest, archive.write(path, manifest, files))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored.

    Attributes:
        manifest: of the archive.
        same_secret: whether the installation signs with the secret it had.
        is_current: whether the ledger is at this version's revision.
    """

    manifest: Manifest
    same_secret: bool
    is_current: bool


def restore(
    settings: Settings,
    path: Path,
    *,
    force: bool = False,
    progress: Progress = lambda done, of, step: None,
) -> Restored:
    """Put a backup in place, after everything in it was found whole.

    Args:
        settings: of the installation it is for.
        path: the archive.
        force: also where there is a ledger with something in it, or another secret, which are
            then gone. Not where the ledger is in use.
        progress: as for `make`.

    Raises:
        BadArchive: it is none, or not whole.
        InUse: the installation runs.
        NotEmpty: there is something in it, and no `force`.
        ConfigError: the archive is of the other kind of database, or cannot be read.
    """
    try:
        progress(0, 0, "checking the archive")
        manifest = archive.read(path)
        kind = _kind(settings)
        if manifest.database != kind:
            raise ConfigError(f"{path} is of {manifest.database}, and the ledger here of {kind}")
        settings.home.mkdir(parents=True, exist_ok=True)
        _check_secrets(settings, path, manifest, force)
        with tempfile.TemporaryDirectory(prefix=".restore.", dir=settings.home) as folder:
            draft = Path(folder) / _LEDGER[kind]
            if kind == "sqlite":
                _restore_sqlite(settings, path, manifest, draft, force, progress)
            else:
                _restore_postgres(settings, path, manifest, draft, force, progress)
        if not settings.secret:
            _put_secrets(settings, path, manifest)
    except OSError as error:
        raise ConfigError(f"cannot restore {path}: {error}") from error
    same = _mark(settings.signing_key()) == manifest.secret
    return Restored(manifest, same, schema.is_current(settings))


def _restore_sqlite(
    settings: Settings, path: Path, manifest: Manifest, draft: Path, force: bool, progress: Progress
) -> None:
    ledger = _ledger_file(settings)
    if not force and ledger.exists() and sqlite.has_rows(ledger):
        raise NotEmpty(f"{ledger} has something in it; --force replaces it")
    archive.take(path, manifest, draft.name, draft)
    _compare(manifest, sqlite.sums(draft, progress))
    sqlite.replace(ledger, draft)


def _restore_postgres(
    settings: Settings, path: Path, manifest: Manifest, draft: Path, force: bool, progress: Progress
) -> None:
    address = postgres.conninfo(settings)
    if count := postgres.users(address):
        raise InUse(f"{count} connections of Hamgate use the database; stop what has them first")
    there = postgres.tables(address)
    has_rows = postgres.has_rows(address, [one for one in there if one != "alembic_version"])
    if has_rows and not force:
        raise NotEmpty(
            "the database has something in it: restore into a new one and set DATABASE_URL to it,"
            " or --force removes what is there first"
        )
    archive.take(path, manifest, draft.name, draft)
    postgres.check(settings, draft)
    if there:
        schema.remove(settings)
    _compare(manifest, postgres.load(settings, address, draft, progress))


def _dump(settings: Settings, draft: Path, verify: bool, progress: Progress) -> dict[str, rows.Sum]:
    sums = postgres.dump(settings, draft, progress)
    if verify:
        with postgres.scratch(postgres.conninfo(settings)) as address:
            loaded = postgres.load(settings, address, draft, progress)
        if wrong := rows.differences(sums, loaded):
            raise BadArchive(f"the dump differs from the ledger in {', '.join(wrong)}")
    return sums


def _compare(manifest: Manifest, found: dict[str, rows.Sum]) -> None:
    if wrong := rows.differences(manifest.tables, found):
        raise BadArchive(f"what was restored differs from the ledger in {', '.join(wrong)}")


def _secret_files(settings: Settings) -> dict[str, Path]:
    """Give the files of the secret that are in the home; none if it comes from elsewhere."""
    if settings.secret:
        return {}
    settings.signing_key()  # makes it where nobody has needed it yet
    return {name: settings.home / name for name in SECRET_FILES if (settings.home / name).exists()}


def _check_secrets(settings: Settings, path: Path, manifest: Manifest, force: bool) -> None:
    for name in SECRET_FILES:
        here = settings.home / name
        if settings.secret or force or not here.exists():
            continue
        if name not in manifest.parts or manifest.parts[name] != archive.part_of(here):
            raise NotEmpty(f"{here} is not the one in {path}; --force replaces it")


def _put_secrets(settings: Settings, path: Path, manifest: Manifest) -> None:
    for name in SECRET_FILES:
        if name in manifest.parts:
            with draft(settings.home / name) as target:
                archive.take(path, manifest, name, target)


def _mark(secret: bytes) -> str:
    """Give what tells one secret from another and gives neither away; as safe as a receipt."""
    key = hashlib.sha256(secret).digest()
    return hashlib.blake2b(key=key, digest_size=16, person=b"hamgate backup").hexdigest()


def _kind(settings: Settings) -> str:
    return make_url(settings.sqlalchemy_url).get_backend_name()


def _ledger_file(settings: Settings) -> Path:
    return Path(make_url(settings.sqlalchemy_url).database or "")
