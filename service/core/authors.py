"""Authors: which e-mail addresses are verified on which site, and who may still be trusted.

The one rule: an address is verified by whoever reads its mail, never by being typed. A comment is
its owner's only if the browser that sent it holds an author token (`pure.seals`), made for this
site and address since the address was verified. What a moderator took away stays away until a
moderator gives it back.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from service.core import changes
from service.ledger.db import insert_into, utc_now
from service.ledger.models import VERIFIED_AUTHORS, VerifiedAuthor

# How long a browser is believed that an address is its reader's.
PROOF_LASTS = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an address stands on a site where it was verified."""

    verified_at: datetime
    distrusted_at: datetime | None


def standing(session: Session, site_id: str, email: str) -> Standing | None:
    """Give how an address stands on a site; `None` if it was never verified there.

    Args:
        session: for reading.
        site_id: where.
        email: normalised.
    """
    row = session.get(VerifiedAuthor, (site_id, email))
    return None if row is None else Standing(row.verified_at, row.distrusted_at)


def verify(session: Session, site_id: str, email: str, now: datetime) -> bool:
    """Note that an address belongs to whoever confirmed it.

    Args:
        session: a transaction's.
        site_id: where.
        email: normalised.
        now: kept to the second, as author tokens are.

    Returns:
        Whether that is new: no if it was verified before, trusted or not.
    """
    connection = session.connection()
    made = connection.scalar(
        insert_into(connection, VERIFIED_AUTHORS)
        .values(site_id=site_id, email=email, verified_at=now.replace(microsecond=0))
        .on_conflict_do_nothing()
        .returning(VERIFIED_AUTHORS.c.site_id)
    )
    return made is not None


def distrust(session: Session, site_id: str, email: str, *, comment_id: str, actor: str) -> None:
    """Take the trust in a verified address away; noted for good.

    Args:
        session: a transaction's.
        site_id: where.
        email: normalised.
        comment_id: of a comment of theirs, since no note may hold an address.
        actor: the moderator.
    """
    lost = session.execute(
        update(VerifiedAuthor)
        .where(
            VerifiedAuthor.site_id == site_id,
            VerifiedAuthor.email == email,
            VerifiedAuthor.distrusted_at.is_(None),
        )
        .values(distrusted_at=utc_now())
        .returning(VerifiedAuthor.site_id)
    ).first()
    if lost is not None:
        _note(session, site_id, comment_id, "trusted", "distrusted", actor)


def pardon(session: Session, site_id: str, email: str, *, comment_id: str, actor: str) -> None:
    """Let an address be verified again; the tokens of before stay void. Noted for good.

    Args: as of `distrust`.
    """
    gone = session.execute(
        delete(VerifiedAuthor)
        .where(
            VerifiedAuthor.site_id == site_id,
            VerifiedAuthor.email == email,
            VerifiedAuthor.distrusted_at.is_not(None),
        )
        .returning(VerifiedAuthor.site_id)
    ).first()
    if gone is not None:
        _note(session, site_id, comment_id, "distrusted", None, actor)


def _note(
    session: Session, site_id: str, comment_id: str, before: str, after: str | None, actor: str
) -> None:
    changes.note(session, site_id, f"author of {comment_id}", before, after, actor=actor)
