"""The front of an application without a server: requests of a test's client go the whole way."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.test import Client
from werkzeug.wrappers import Response

from service.app import in_front_of
from service.serving.answers import Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Exchange:
    """What the server would give a request and take of its answer."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.status = 0
        self.headers: Headers = []
        self.content: list[bytes] = []

    async def __call__(self) -> bytes:
        return self.body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for first in range(0, len(self.body), 1000):
            yield self.body[first : first + 1000]

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers = status, headers
        self.content.append(body)

    def response_stream(self, status: int, headers: Headers) -> "Exchange":
        self.status, self.headers = status, headers
        return self

    async def send_bytes(self, data: bytes) -> None:
        self.content.append(data)


def client_of(app: flask.Flask) -> Client:
    """Give a client that asks an application by its front, as a server does."""
    front = in_front_of(app)

    def ask(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        exchange = Exchange(environ["wsgi.input"].read())
        asyncio.run(front.__rsgi__(_scope(environ), exchange))
        start(f"{exchange.status} {HTTP_STATUS_CODES[exchange.status].upper()}", exchange.headers)
        return exchange.content

    return Client(ask, Response)


def scope_of(
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    *,
    query_string: str = "",
    client: str = "127.0.0.1",
) -> Any:
    """Give a request as the server tells it, from its path as it is meant."""
    return SimpleNamespace(
        method=method,
        path=path,
        query_string=query_string,
        http_version="1.1",
        server="127.0.0.1:8000",
        client=f"{client}:40000",
        scheme="http",
        authority="localhost",
        headers=SimpleNamespace(items=lambda: list(headers)),
    )


def _scope(environ: "WSGIEnvironment") -> Any:
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-").lower(), value)
        for name, value in environ.items()
        if (name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"))
        and value is not None
    ]
    return scope_of(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace"),
        headers,
        query_string=environ["QUERY_STRING"],
        client=environ.get("REMOTE_ADDR", "127.0.0.1"),
    )
