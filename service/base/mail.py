"""Mail: what is said to the operator's own mail server; the only place that speaks SMTP.

The one rule: no address and no text of a server's gets into a fault, since faults are logged and
servers repeat addresses. What went wrong is said by kind and number.
"""

import contextlib
import logging
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from urllib.parse import urlsplit

from service.base.config import Settings
from service.base.relays import Relay

log = logging.getLogger(__name__)

# Each single answer; whoever drips is ended by the sender's alarm.
_PATIENCE_SECONDS = 10.0
_FINAL_FROM = 500


class MailFault(Exception):
    """A mail was not taken.

    Attributes:
        final: whether to try again is useless: the server refuses this address or this mail.
    """

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


def send(settings: Settings, message: EmailMessage, to: str) -> None:
    """Hand a mail to the operator's server; when this returns, the server has taken it.

    Args:
        settings: with a `relay`.
        message: with all its headers.
        to: the one address it goes to.

    Raises:
        MailFault: it was not taken, or nobody knows whether it was.
    """
    with _session(settings) as client:
        try:
            client.send_message(message, settings.sender.addr_spec, [to])
        except smtplib.SMTPRecipientsRefused as error:
            code = max(code for code, _ in error.recipients.values())
            raise MailFault(f"the address was refused ({code})", final=_is_final(code)) from None
        except smtplib.SMTPDataError as error:
            code = error.smtp_code
            raise MailFault(f"the mail was refused ({code})", final=_is_final(code)) from None
        except smtplib.SMTPNotSupportedError:
            raise MailFault("the server takes no such address (SMTPUTF8)", final=True) from None


def look(settings: Settings) -> None:
    """Connect, encrypt and log in, and send nothing.

    Raises:
        MailFault: that is not possible.
    """
    with _session(settings) as client:
        client.noop()


@contextlib.contextmanager
def _session(settings: Settings) -> Iterator[smtplib.SMTP]:
    relay = settings.relay
    if relay is None:
        raise MailFault("no mail server is set")
    try:
        client = _connect(relay, urlsplit(settings.public_url).hostname or "localhost")
        try:
            if relay.starttls:
                client.starttls(context=ssl.create_default_context())
            if relay.user is not None:
                client.login(relay.user, relay.password)
            yield client
            _take_leave(client)
        finally:
            client.close()
    except smtplib.SMTPNotSupportedError:
        raise MailFault("the server offers no STARTTLS, or no way to log in that we know") from None
    except smtplib.SMTPResponseException as error:
        kind = type(error).__name__.removeprefix("SMTP")
        raise MailFault(f"the server refused: {kind} ({error.smtp_code})") from None
    except smtplib.SMTPServerDisconnected as error:  # in smtplib's own words
        raise MailFault(str(error)) from None
    except ssl.SSLCertVerificationError as error:
        raise MailFault(f"the server's certificate: {error.verify_message}") from None
    except (smtplib.SMTPException, OSError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else ""
        raise MailFault(f"{type(error).__name__} {told}".strip()) from None


def _connect(relay: Relay, name: str) -> smtplib.SMTP:
    if relay.tls:
        return smtplib.SMTP_SSL(
            relay.host, relay.port, name, timeout=_PATIENCE_SECONDS,
            context=ssl.create_default_context(),
        )  # fmt: skip
    return smtplib.SMTP(relay.host, relay.port, name, timeout=_PATIENCE_SECONDS)


def _take_leave(client: smtplib.SMTP) -> None:
    try:
        client.quit()
    except (smtplib.SMTPException, OSError) as error:  # what we wanted is done
        log.debug("the mail server did not say goodbye: %s", type(error).__name__)


def _is_final(code: int) -> bool:
    return code >= _FINAL_FROM
