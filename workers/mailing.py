"""Mailing: sends the mails that authors asked for, one after another, each by itself.

The one rule: no transaction is open while a mail server is spoken to, and what became of a mail is
noted before the next one is looked at. A mail that was sent and not noted is sent once more.
"""

import logging
import signal
import time
from collections.abc import Callable
from urllib.parse import urlencode

from email_validator import EmailNotValidError, validate_email

from service.base import mail
from service.base.config import Settings
from service.base.jobs import Job
from service.base.mail import MailFault
from service.core.confirmations import rows, sending
from service.core.confirmations.sending import Due
from service.ledger.db import Database, utc_now
from service.pure import letters, seals
from service.pure.seals import Seals
from workers import context

log = logging.getLogger(__name__)

LEASE_SECONDS = 60
# A server that answers by drips is left after this long, however often it says something.
_ALARM_SECONDS = 45.0
_SHIFT_SECONDS = 120.0


def send_mail() -> None:
    """RQ job: take the bell down, then send what is due.

    A mail that takes too long is cut short by SIGALRM's default action, which ends this child and
    nothing else; the mail is due again when its lease ends.
    """
    here = context.current()
    here.database.doorbell.answer(Job.MAIL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    until = time.monotonic() + _SHIFT_SECONDS
    try:
        while time.monotonic() < until and send_next(
            here.database, here.settings, alarm=_set_alarm
        ):
            pass
    finally:
        _set_alarm(0)


def send_next(
    database: Database,
    settings: Settings,
    *,
    alarm: Callable[[float], None] | None = None,
) -> bool:
    """Claim one mail, send it and note what became of it.

    Args:
        database: the ledger.
        settings: mail server, sender, secret.
        alarm: called with the seconds after which this process should be ended.

    Returns:
        Whether there was one; no if mail is off.
    """
    if settings.relay is None:
        return False
    with database.transaction() as session:
        due = sending.claim(session, LEASE_SECONDS)
    if due is None:
        return False
    if alarm is not None:
        alarm(_ALARM_SECONDS)
    try:
        _send(settings, due)
    except MailFault as error:
        log.warning("mail %s was not sent, attempt %d: %s", due.id, due.attempts, error)
        with database.transaction() as session:
            sending.failed(session, due, str(error)[:200], final=error.final)
        return True
    with database.transaction() as session:
        sending.sent(session, due)
    log.info("mail %s was sent", due.id)
    return True


def _send(settings: Settings, due: Due) -> None:
    try:
        parsed = validate_email(due.email, check_deliverability=False, strict=True)
    except EmailNotValidError:
        raise MailFault("the address is not one", final=True) from None
    # Where it can be said in ASCII it is, so that every server takes it.
    to = parsed.ascii_email or parsed.normalized
    asked = letters.Request(
        id=due.id,
        to=to,
        language=due.language,
        site=due.site_name,
        asked_at=due.asked_at,
        days=rows.LASTS.days,
        confirm_url=_link(settings, due, "confirmation", seals.CONFIRM),
        silence_url=_link(settings, due, "silence", seals.SILENCE),
    )
    mail.send(settings, letters.request(asked, settings.sender, utc_now()), to)


def _link(settings: Settings, due: Due, page: str, purpose: str) -> str:
    token = Seals(settings.signing_key(), settings.previous_signing_key()).seal(purpose, due.id)
    query = urlencode({"token": token, "lang": due.language})
    return f"{settings.public_url}/sites/{due.site_slug}/{page}?{query}"


def _set_alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)
