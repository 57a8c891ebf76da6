"""A receiver to try webhooks with: verifies what comes, shows it, and answers as it is told."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from service.base.errors import ConfigError, Forbidden
from service.core.webhooks import signing

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
_BODY_MOST_BYTES = 64 * 1024


class _Silent(WSGIRequestHandler):
    """What came is shown by the receiver; a line for each request besides would hide it."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


class Receiver:
    """The WSGI application: one event after the other, shown on a console."""

    def __init__(self, secret: str, status: int, console: Console) -> None:
        self._secret = secret
        self._status = status
        self._console = console
        self._seen: Counter[str] = Counter()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environ)
        request.max_content_length = _BODY_MOST_BYTES
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.method != "POST":
            return Response("POST webhooks here\n", 405, {"Allow": "POST"})
        headers = {name.lower(): value for name, value in request.headers}
        try:
            body = request.get_data()
            signing.require(headers, body, self._secret, int(time.time()))
        except (Forbidden, RequestEntityTooLarge) as refusal:
            self._console.print(Text(f"refused: {refusal}", style="bold red"))
            return Response(f"{refusal}\n", 401)
        self._show(headers["webhook-id"], body)
        return Response(status=self._status)

    def _show(self, event_id: str, body: bytes) -> None:
        self._seen[event_id] += 1
        told = json.loads(body)
        times = self._seen[event_id]
        title = Text.assemble(
            (str(told["type"]), "bold green"),
            f"  {told['timestamp']}  sequence {told['sequence']}  {event_id}",
            (f"  time {times}" if times > 1 else "", "yellow"),
        )
        self._console.print(title, soft_wrap=True)
        self._console.print_json(json.dumps(told["data"]))
        self._console.print(Text(f"verified; answered {self._status}\n", style="dim"))


def listen(port: int, secret: str, status: int, ready: Callable[[str], None]) -> None:
    """Receive until Ctrl-C.

    Args:
        port: of this machine, which alone can reach it; 0 for a free one.
        secret: of the endpoint.
        status: to answer with.
        ready: is told the address.

    Raises:
        ConfigError: the secret is none, or the port is taken.
    """
    try:
        signing.sign("", 0, b"", secret)
    except ValueError:
        raise ConfigError("this is no secret: it begins with whsec_, base64 follows") from None
    try:
        server = make_server(
            HOST, port, Receiver(secret, status, Console()), request_handler=_Silent
        )
    except (OSError, SystemExit) as error:
        raise ConfigError(f"port {port} is taken; choose another with --port") from error
    with server:
        ready(f"http://{HOST}:{server.port}/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
