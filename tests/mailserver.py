"""A real mail server of the tests' own: takes mail, refuses it, or says nothing."""

import contextlib
import email
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.system import free_port

USER, PASSWORD = "hamgate", "p@ss word"


@dataclass
class MailServer:
    """What came in, and how it answers.

    Attributes:
        port: where it listens, on localhost.
        taken: the messages it took.
        recipient_answer: to RCPT, if it refuses.
        data_answer: to DATA, if it refuses.
        on_data: called when a message has arrived and is not answered yet.
        logins: with what somebody logged in.
        encrypted: for each message, whether it came encrypted.
    """

    port: int = field(default_factory=free_port)
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    recipient_answer: str | None = None
    data_answer: str | None = None
    on_data: Callable[[], None] | None = None
    logins: list[tuple[str, str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd looks for
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self.recipient_answer is not None:
            return self.recipient_answer.format(address=address)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the same
        self, server: Any, session: Any, envelope: Any
    ) -> str:
        if self.data_answer is not None:
            return self.data_answer
        message = email.message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        self.recipients += envelope.rcpt_tos
        self.encrypted.append(session.ssl is not None)
        if self.on_data is not None:
            self.on_data()
        return "250 OK"

    def authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        """Note who logs in, and let in whoever knows the password."""
        assert isinstance(data, LoginPassword)
        login = (data.login.decode(), data.password.decode())
        self.logins.append(login)
        return AuthResult(success=login == (USER, PASSWORD), handled=False)


@contextlib.contextmanager
def serving_mail(context: ssl.SSLContext | None = None, **options: Any) -> Iterator[MailServer]:
    """Run a mail server for the length of a block, with STARTTLS if it has a certificate."""
    server = MailServer()
    controller = Controller(
        server,
        hostname="localhost",
        port=server.port,
        tls_context=context,
        authenticator=server.authenticate,
        enable_SMTPUTF8=True,
        **options,
    )
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@contextlib.contextmanager
def dripping(greeting: bytes) -> Iterator[int]:
    """Listen as a mail server does that says one byte at a time, for ever; give the port."""
    with socket.create_server(("localhost", 0)) as listener:
        ended = threading.Event()
        threads = [threading.Thread(target=_drip, args=(listener, greeting, ended))]
        threads[0].start()
        yield listener.getsockname()[1]
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        threads[0].join()


def _drip(listener: socket.socket, greeting: bytes, ended: threading.Event) -> None:
    with contextlib.suppress(OSError):  # the other side went away, or the test is over
        connection, _ = listener.accept()
        with connection:
            connection.sendall(greeting)
            while not ended.wait(0.1):
                connection.sendall(b"-")
