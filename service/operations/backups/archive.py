"""An archive: one file with all that an installation is, and a manifest that says what it holds.

A tar of `manifest.json`, the ledger and, where it is a file of ours, the secret; beside it stands
its SHA-256 as `sha256sum -c` reads it. The one rule: an archive is whole or not there. It is
written under another name, brought to the disk, and renamed.
"""

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from service.base.errors import HamgateError
from service.base.files import draft
from service.operations.backups.rows import Sum

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FORMAT = 1
_MANIFEST = "manifest.json"
_MANIFEST_MOST_BYTES = 1_000_000
_PIECE = 1 << 20


class BadArchive(HamgateError):
    """What was given is no archive of ours, or not whole."""


class Part(BaseModel):
    """One file in an archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What an archive holds.

    Attributes:
        format: 1.
        made_by: version of Hamgate.
        made_at: when the ledger was as it is in here.
        database: which program's format the ledger is in.
        revision: of the ledger's schema.
        secret: tells whether an installation signs with the same secret, and nothing else.
        parts: the other files, by name.
        tables: what each table holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1]
    made_by: str
    made_at: datetime
    database: Literal["sqlite", "postgresql"]
    revision: str | None
    secret: str
    parts: dict[str, Part]
    tables: dict[str, Sum]

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(table.rows for table in self.tables.values())


def write(path: Path, manifest: Manifest, files: Mapping[str, Path]) -> str:
    """Write an archive and its SHA-256 beside it, and give that.

    Args:
        path: where; one that is there is replaced.
        manifest: names every file as one of its parts.
        files: where they are now.
    """
    with draft(path) as target:
        with target.open("wb") as raw:
            writer = _Hashing(raw)
            with tarfile.open(fileobj=writer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                told = manifest.model_dump_json(indent=1).encode()
                tar.addfile(_entry(_MANIFEST, len(told), manifest.made_at), io.BytesIO(told))
                for name, file in files.items():
                    with file.open("rb") as content:
                        entry = _entry(name, file.stat().st_size, manifest.made_at)
                        tar.addfile(entry, content)
        digest = writer.hash.hexdigest()
    with draft(sum_file(path)) as target:
        target.write_text(f"{digest}  {path.name}\n")
    return digest


def sum_file(path: Path) -> Path:
    """Give where the SHA-256 of an archive stands."""
    return path.with_name(f"{path.name}.sha256")


def read(path: Path) -> Manifest:
    """Give what an archive holds, once its SHA-256 is the one beside it, if there is one.

    Raises:
        BadArchive: it is not, or this is no archive of ours.
        OSError: it cannot be read.
    """
    beside = sum_file(path)
    if beside.exists() and beside.read_text().split()[:1] != [part_of(path).sha256]:
        raise BadArchive(
            f"{path} is not what it was when it was made: {beside.name} says otherwise"
        )
    with _opened(path) as tar:
        entry = tar.next()
        content = tar.extractfile(entry) if entry is not None else None
        if entry is None or entry.name != _MANIFEST or content is None:
            raise BadArchive(f"{path} is not an archive of ours: no {_MANIFEST} in it")
        try:
            return Manifest.model_validate_json(content.read(_MANIFEST_MOST_BYTES))
        except ValidationError as error:
            raise BadArchive(f"{path} cannot be read; a newer Hamgate may have made it") from error


def take(path: Path, manifest: Manifest, name: str, target: Path) -> None:
    """Copy one part to a file, and see that it is the one that was put in.

    Raises:
        BadArchive: it is not.
    """
    wanted = manifest.parts[name]
    with _opened(path) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.name == name else None
            if content is None:
                continue
            with target.open("wb") as raw:
                writer = _Hashing(raw)
                while piece := content.read(_PIECE):
                    writer.write(piece)
            if writer.hash.hexdigest() == wanted.sha256:
                return
            break
    raise BadArchive(f"{name} in {path} is not what the manifest says")


def part_of(file: Path) -> Part:
    """Give a file's length and SHA-256."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Part(bytes=file.stat().st_size, sha256=digest)


class _Hashing(io.RawIOBase):
    """Writes on, and hashes what it writes."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.hash = hashlib.sha256()
        self._raw = raw

    def write(self, piece: "ReadableBuffer", /) -> int:
        """Write all of it."""
        content = bytes(piece)
        self.hash.update(content)
        return self._raw.write(content)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except tarfile.TarError as error:
        raise BadArchive(f"{path} is not an archive of ours: {error}") from error


def _entry(name: str, size: int, made_at: datetime) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(made_at.timestamp())
    return entry
