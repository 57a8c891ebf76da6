"""Confirmations: an author asks for a mail, and says by its link that the address is theirs.

The one rule: nobody can have us write to others against their will. A mail goes out only because
somebody who wrote a public or held comment asked, once a day for one mailbox and five times
unanswered, so many a day for one site, and never to whom it was too much. Whoever asks is told
the same whatever becomes of it, since what an address did before is nobody's business.

All of that is counted in the ledger. A mail is a row that is due (`send_at`); a worker's claim
moves it forward by the lease, and only what became of it takes it away. So a kill at any moment
loses none, and at worst sends one twice, with the same Message-ID.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from service import authors, text
from service.comments import CommentView
from service.config import Settings
from service.db import db_now, insert_into, new_id, ring_after, utc_now
from service.errors import Forbidden, NotFound
from service.events import AuthorTold, EventType, personal_of
from service.jobs import Job
from service.models import COMMENTS, CONFIRMATIONS, SILENCED_MAILBOXES, SITES, THREADS
from service.policy import Status
from service.sites import SiteView
from service.webhooks import outbox

# How long a link is good.
LASTS = timedelta(days=3)
UNANSWERED_MOST = 5
SITE_MOST_A_DAY = 200
ATTEMPTS_MOST = 5
_DAY_SECONDS = 86_400
# After the first failure, the second, …; whoever is down for longer has other worries.
_PAUSES_SECONDS = (60, 300, 1_800, 7_200)
_WELCOME = (Status.PENDING, Status.APPROVED)
# Providers that deliver to one mailbox wherever the dots stand.
_DOTLESS = ("gmail.com", "googlemail.com")


@dataclass(frozen=True, slots=True)
class Due:
    """A mail that is to be sent now, by whoever claimed it.

    Attributes:
        attempts: this one included; tells one claim from a later one.
        email: normalised.
    """

    id: str
    attempts: int
    email: str
    language: str
    site_slug: str
    site_name: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a confirmation led to.

    Attributes:
        page_url: where the comment stands.
        trusted: no if moderators took the trust away before.
    """

    email: str
    page_url: str
    trusted: bool


def is_offered(view: CommentView, site: SiteView, settings: Settings) -> bool:
    """Whether the author of a comment may ask for a mail, as far as it depends on the comment.

    Not where it would lead to nothing, and not for what a machine may have written or nobody
    wants to read. The page has to be the site's, or the link could lead back to any other.
    """
    parts = urlsplit(view.page_url)
    return (
        settings.relay is not None
        and site.policy.trust_approved_authors
        and f"{parts.scheme}://{parts.netloc}" in site.origins
        and view.decision_id is not None
        and view.status in _WELCOME
        and not view.honeypot_filled
        and view.proven_at is None
        and view.confirmation_asked_at is None
    )


def ask(session: Session, view: CommentView, language: str) -> None:
    """Have a mail sent to the author of a comment, if it may be; nobody is told if it may not.

    Args:
        session: a transaction's; the workers are rung for after its commit.
        view: of a comment for which it `is_offered`.
        language: of the mail, one of ours.

    Raises:
        Forbidden: somebody else asked at this moment, or the comment was refused meanwhile.
    """
    first = session.execute(
        update(COMMENTS)
        .where(
            COMMENTS.c.id == view.id,
            COMMENTS.c.status.in_(_WELCOME),
            COMMENTS.c.confirmation_asked_at.is_(None),
        )
        .values(confirmation_asked_at=utc_now())
        .returning(COMMENTS.c.id)
    ).first()
    if first is None:
        raise Forbidden("this comment's author cannot ask for a mail now")
    mailbox = mailbox_of(view.email_normalised)
    known = authors.standing(session, view.site_id, view.email_normalised)
    number = _next_number(session, view.site_id, mailbox)
    if number is None or (known is not None and known.distrusted_at is not None):
        return
    connection = session.connection()
    made = connection.scalar(
        insert_into(connection, CONFIRMATIONS)
        .values(
            id=new_id("cnf"),
            site_id=view.site_id,
            comment_id=view.id,
            mailbox=mailbox,
            number=number,
            language=language,
            created_at=db_now(),
            send_at=db_now(),
            attempts=0,
        )
        .on_conflict_do_nothing()  # the mailbox's next one was asked for at this moment
        .returning(CONFIRMATIONS.c.id)
    )
    if made is not None:
        ring_after(connection, Job.MAIL)


def mailbox_of(email: str) -> str:
    """Give what stands for the mailbox that an address leads to, however it is spelt."""
    local, _, domain = email.casefold().rpartition("@")
    local = local.partition("+")[0]
    if domain in _DOTLESS:
        local = local.replace(".", "")
    return text.digest("mailbox", local, domain)


def claim(session: Session, lease_seconds: float) -> Due | None:
    """Lease the mail that is due first; what may not be sent any more is given up on the way."""
    while True:
        row = _claim_next(session, lease_seconds)
        if row is None:
            return None
        about = _about(session, row.id)
        why = _why_not(session, row, about)
        if why is None and about is not None:
            return Due(
                id=row.id,
                attempts=row.attempts,
                email=about.email_normalised,
                language=row.language,
                site_slug=about.slug,
                site_name=about.name,
                asked_at=row.created_at,
            )
        _close(session, row.id, row.attempts, fault=why)


def sent(session: Session, due: Due) -> None:
    """Note that the server has taken a mail."""
    _close(session, due.id, due.attempts, sent_at=utc_now(), fault=None)


def failed(session: Session, due: Due, fault: str, *, final: bool) -> None:
    """Note that it has not, and when to try again; never if that is useless.

    Args:
        session: a transaction's.
        due: the mail.
        fault: why, without any address.
        final: whether to give up.
    """
    if final or due.attempts >= ATTEMPTS_MOST:
        _close(session, due.id, due.attempts, fault=fault)
        return
    pause = _PAUSES_SECONDS[min(due.attempts, len(_PAUSES_SECONDS)) - 1]
    _update(session, due.id, due.attempts, send_at=db_now(pause), fault=fault)


def overdue_seconds(session: Session) -> float | None:
    """Give for how long the mail that is due first has been due; `None` if none is."""
    first, now = session.execute(
        select(func.min(CONFIRMATIONS.c.send_at), db_now()).where(
            CONFIRMATIONS.c.send_at <= db_now()
        )
    ).one()
    return None if first is None else (now - first).total_seconds()


def given_up(session: Session) -> int:
    """Count the mails of the last day that were given up for a fault of somebody's server."""
    return (
        session.scalar(
            select(func.count())
            .select_from(CONFIRMATIONS)
            .where(
                CONFIRMATIONS.c.created_at > db_now(-_DAY_SECONDS),
                CONFIRMATIONS.c.attempts > 0,
                CONFIRMATIONS.c.sent_at.is_(None),
                CONFIRMATIONS.c.fault.is_not(None),
            )
        )
        or 0
    )


def check(session: Session, confirmation_id: str, site_id: str) -> None:
    """See whether the link of a mail is still good; changes nothing.

    Raises:
        NotFound: it is not.
    """
    _open(session, confirmation_id, site_id)


def confirm(session: Session, confirmation_id: str, site_id: str) -> Confirmed:
    """Believe that an address belongs to whoever followed the link of a mail.

    Once more before the link ends is well, for another browser of the same person.

    Args:
        session: a transaction's.
        confirmation_id: from a link that was checked to be ours.
        site_id: the site it was for.

    Raises:
        NotFound: it is too late, or the comment is gone.
    """
    about = _open(session, confirmation_id, site_id)
    now = utc_now()
    new = authors.verify(session, site_id, about.email_normalised, now)
    session.execute(
        update(CONFIRMATIONS)
        .where(CONFIRMATIONS.c.id == confirmation_id, CONFIRMATIONS.c.confirmed_at.is_(None))
        .values(confirmed_at=now)
    )
    if new:
        outbox.tell(
            session.connection(),
            EventType.AUTHOR_VERIFIED,
            site_id,
            lambda site: AuthorTold(site=site, comment_ids=[about.comment_id]),
            now,
            comment_id=about.comment_id,
            personal=personal_of(about.email_normalised, None),
        )
    known = authors.standing(session, site_id, about.email_normalised)
    return Confirmed(
        email=about.email_normalised,
        page_url=about.page_url,
        trusted=known is not None and known.distrusted_at is None,
    )


def silence(session: Session, confirmation_id: str, site_id: str) -> None:
    """Never write again to the mailbox that a mail went to; it need not be a recent one.

    Raises:
        NotFound: there was no such mail.
    """
    mailbox = session.scalar(
        select(CONFIRMATIONS.c.mailbox).where(
            CONFIRMATIONS.c.id == confirmation_id, CONFIRMATIONS.c.site_id == site_id
        )
    )
    if mailbox is None:
        raise NotFound("there was no such mail")
    connection = session.connection()
    connection.execute(
        insert_into(connection, SILENCED_MAILBOXES)
        .values(mailbox=mailbox, silenced_at=utc_now())
        .on_conflict_do_nothing()
    )


def _next_number(session: Session, site_id: str, mailbox: str) -> int | None:
    """Give which one a mailbox's next mail would be; `None` if it may get none now."""
    if _is_silenced(session, mailbox):
        return None
    today = CONFIRMATIONS.c.created_at > db_now(-_DAY_SECONDS)
    latest = session.execute(
        select(CONFIRMATIONS.c.number, CONFIRMATIONS.c.confirmed_at, today.label("today"))
        .where(CONFIRMATIONS.c.mailbox == mailbox)
        .order_by(CONFIRMATIONS.c.number.desc())
        .limit(UNANSWERED_MOST)
    ).all()
    unanswered = len(latest) == UNANSWERED_MOST and not any(row.confirmed_at for row in latest)
    if unanswered or any(row.today for row in latest):
        return None
    of_site = session.scalar(
        select(func.count())
        .select_from(CONFIRMATIONS)
        .where(CONFIRMATIONS.c.site_id == site_id, today)
    )
    if (of_site or 0) >= SITE_MOST_A_DAY:
        return None
    return latest[0].number + 1 if latest else 1


def _is_silenced(session: Session, mailbox: str) -> bool:
    return (
        session.scalar(
            select(SILENCED_MAILBOXES.c.mailbox).where(SILENCED_MAILBOXES.c.mailbox == mailbox)
        )
        is not None
    )


def _claim_next(session: Session, lease_seconds: float) -> Row[Any] | None:
    due = (
        select(CONFIRMATIONS.c.id)
        .where(CONFIRMATIONS.c.send_at <= db_now())
        .order_by(CONFIRMATIONS.c.send_at)
        .limit(1)
        .with_for_update(skip_locked=True)  # PostgreSQL; on SQLite the transaction is the lock
    )
    claimed = (
        update(CONFIRMATIONS)
        .where(CONFIRMATIONS.c.id.in_(due.scalar_subquery()))
        .values(send_at=db_now(lease_seconds), attempts=CONFIRMATIONS.c.attempts + 1)
        .returning(*CONFIRMATIONS.c)
    )
    return session.connection().execute(claimed).first()


def _about(session: Session, confirmation_id: str) -> Any:
    """Give what a confirmation is about; `None` if its comment is gone."""
    return session.execute(
        select(
            CONFIRMATIONS.c.comment_id,
            CONFIRMATIONS.c.site_id,
            CONFIRMATIONS.c.created_at,
            COMMENTS.c.email_normalised,
            COMMENTS.c.status,
            THREADS.c.page_url,
            SITES.c.slug,
            SITES.c.name,
        )
        .join(COMMENTS, COMMENTS.c.id == CONFIRMATIONS.c.comment_id)
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .join(SITES, SITES.c.id == CONFIRMATIONS.c.site_id)
        .where(CONFIRMATIONS.c.id == confirmation_id)
    ).first()


def _why_not(session: Session, row: Row[Any], about: Any) -> str | None:
    if about is None or not about.email_normalised or about.status not in _WELCOME:
        return "the comment was refused or is gone"
    if _is_silenced(session, row.mailbox):
        return "no more mail is wanted there"
    if utc_now() - row.created_at >= LASTS:
        return row.fault or "nobody sent it in time"
    if row.attempts > ATTEMPTS_MOST:
        return row.fault or "its senders were killed"
    return None


def _open(session: Session, confirmation_id: str, site_id: str) -> Any:
    about = _about(session, confirmation_id)
    known = about is not None and about.site_id == site_id and about.email_normalised
    if not known or utc_now() - about.created_at >= LASTS:
        raise NotFound("this link is not valid, or not any more")
    return about


def _close(session: Session, confirmation_id: str, attempts: int, **values: Any) -> None:
    _update(session, confirmation_id, attempts, send_at=None, **values)


def _update(session: Session, confirmation_id: str, attempts: int, **values: Any) -> None:
    # Compare and set: whoever comes back after the lease has lost it to the next claim.
    session.execute(
        update(CONFIRMATIONS)
        .where(CONFIRMATIONS.c.id == confirmation_id, CONFIRMATIONS.c.attempts == attempts)
        .values(**values)
    )
