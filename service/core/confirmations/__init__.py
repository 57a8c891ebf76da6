"""Confirmations: an author asks for a mail, and says by its link that the address is theirs.

The one rule: nobody can have us write to others against their will. A mail goes out only because
somebody who wrote a public or held comment asked, once a day for one mailbox and five times
unanswered, so many a day for one site, and never to whom it was too much. Whoever asks is told
the same whatever becomes of it, since what an address did before is nobody's business.

All of that is counted in the ledger, and a mail is a row that is due: see `sending`.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.base.config import Settings
from service.base.errors import Forbidden, NotFound
from service.base.jobs import Job
from service.core import authors
from service.core.comments import CommentView
from service.core.confirmations import rows
from service.core.sites import SiteView
from service.core.webhooks import outbox
from service.ledger.db import db_now, insert_into, new_id, ring_after, utc_now
from service.ledger.models import COMMENTS, CONFIRMATIONS, SILENCED_MAILBOXES
from service.pure import text
from service.pure.events import AuthorTold, EventType, personal_of

UNANSWERED_MOST = 5
SITE_MOST_A_DAY = 200
# Providers that deliver to one mailbox wherever the dots stand.
_DOTLESS = ("gmail.com", "googlemail.com")


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
        and view.status in rows.WELCOME
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
            COMMENTS.c.status.in_(rows.WELCOME),
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


def confirmed_email(session: Session, confirmation_id: str, site_id: str) -> str:
    """Give the address that was confirmed, if it is still trusted.

    Raises:
        NotFound: it was not, or it is not.
    """
    about = _open(session, confirmation_id, site_id)
    email: str = about.email_normalised
    known = authors.standing(session, site_id, email)
    if about.confirmed_at is None or known is None or known.distrusted_at is not None:
        raise NotFound("this address is not confirmed")
    return email


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
    if rows.is_silenced(session, mailbox):
        return None
    today = CONFIRMATIONS.c.created_at > db_now(-rows.DAY_SECONDS)
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


def _open(session: Session, confirmation_id: str, site_id: str) -> Any:
    about = rows.about(session, confirmation_id)
    known = about is not None and about.site_id == site_id and about.email_normalised
    if not known or utc_now() - about.created_at >= rows.LASTS:
        raise NotFound("this link is not valid, or not any more")
    return about
