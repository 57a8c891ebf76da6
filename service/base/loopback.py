"""HTTP to our own web server, and to nobody else.

For `hamgate up`, which waits for its server, and for commands that use a running one. The one
rule: the address is that of the settings, never one that somebody sent; so none of the guards
that calls to strangers need are needed here.
"""

import contextlib
import errno
import http.client
import ipaddress
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.base.config import Settings
from service.base.errors import ConfigError, HamgateError

_LIVE = "/livez"
# What asks whether we live: let past the gate, and of no interest besides.
PROBES = frozenset({_LIVE, "/readyz", "/metrics"})

_LIVE_WITHIN_SECONDS = 1.0


class NotRunning(HamgateError):
    """No server of ours answers at the address of the settings."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answered; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Give the body as an object; an empty one if it is something else."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def refusal(self) -> str:
        """Why it was refused, in the server's words, as far as it says so."""
        problem = self.json()
        faults = problem.get("errors") or []
        said = "; ".join(f"{fault['pointer'].strip('/')} {fault['message']}" for fault in faults)
        return said or str(problem.get("detail") or problem.get("title") or f"HTTP {self.status}")

    @property
    def retry_after_seconds(self) -> float | None:
        """After how long the server asks to be asked again; `None` if it does not say."""
        value = self.headers.get("retry-after", "")
        return float(value) if value.isdigit() else None


class Client:
    """One connection that is kept open; each thread needs its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 15.0,
    ) -> None:
        """Prepare the connection without opening it.

        Args:
            settings: whose server.
            headers: to send with every request.
            timeout_seconds: for each step of a request; the server waits at most 5 itself.
        """
        self._headers = dict(headers or {})
        self._connection = http.client.HTTPConnection(
            address(settings), settings.port, timeout=timeout_seconds
        )
        self._where = origin(settings)

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request that may arrive twice without harm: a GET, or one with an Idempotency-Key.

        A connection that the server has closed meanwhile is opened anew, once.

        Args:
            method: the HTTP method.
            path: from `/` on, encoded.
            body: sent as JSON unless `None`.
            headers: besides those of every request.

        Raises:
            NotRunning: nobody listens, or the connection broke.
        """
        kept = self._connection.sock is not None
        try:
            return self._send(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not kept or isinstance(error, TimeoutError):
                raise NotRunning(f"no answer from {self._where}: {_say(error)}") from error
        return self.request(method, path, body, headers)

    def close(self) -> None:
        """Close the connection; the next request opens it again."""
        self._connection.close()

    def _send(
        self, method: str, path: str, body: object, headers: Mapping[str, str] | None
    ) -> Reply:
        content = None if body is None else json.dumps(body).encode()
        typed = {} if content is None else {"Content-Type": "application/json"}
        self._connection.request(
            method, path, content, {**typed, **self._headers, **(headers or {})}
        )
        with self._connection.getresponse() as answer:
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())


def answers(settings: Settings) -> bool:
    """Whether our server runs: it answers `/livez` within a second, as ours does."""
    client = Client(settings, timeout_seconds=_LIVE_WITHIN_SECONDS)
    try:
        reply = client.request("GET", _LIVE)
    except NotRunning:
        return False
    finally:
        client.close()
    return reply.status == 200 and reply.body == b"ok\n"


def check_free(settings: Settings) -> None:
    """Make sure that the port can be listened on.

    Raises:
        ConfigError: it is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with contextlib.closing(socket.socket(family)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {settings.port} on {settings.host} is taken, perhaps by another"
                    " Hamgate; stop it, or set HAMGATE_PORT to a free one"
                ) from None
            raise ConfigError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror};"
                " set HAMGATE_HOST and HAMGATE_PORT to what this machine has and may use"
            ) from None


def address(settings: Settings) -> str:
    """Give the address at which this machine reaches the server, wherever it listens."""
    listens_on = ipaddress.ip_address(settings.host)
    if not listens_on.is_unspecified:
        return settings.host
    return "127.0.0.1" if listens_on.version == 4 else "::1"


def origin(settings: Settings) -> str:
    """Give what stands before the path when this machine asks the server."""
    host = address(settings)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _say(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
