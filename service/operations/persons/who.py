"""Who is meant: one e-mail address in all the ways it may have been written, and what bears it."""

import unicodedata
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import email_validator
from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Invalid
from service.core import moderators
from service.core.moderators.tables import Moderator
from service.ledger.models import COMMENTS


@dataclass(frozen=True, slots=True)
class Address:
    """An address as it was asked for.

    Attributes:
        normal: in the form in which comments are compared.
        variants: all it is known by, casefolded: as written, normalised, with the domain in ASCII.
    """

    normal: str
    variants: frozenset[str]

    def is_in(self, value: Any) -> bool:
        """Whether it stands anywhere in a text, or in anything inside of a JSON value."""
        if isinstance(value, str):
            folded = _folded(value)
            # As patterns write it, and as an address's query does.
            plain = (folded, folded.replace("\\", ""), _folded(unquote_plus(value)))
            return any(one in form for one in self.variants for form in plain)
        if isinstance(value, dict):
            return any(self.is_in(part) for pair in value.items() for part in pair)
        return isinstance(value, list) and any(self.is_in(part) for part in value)

    def column(self, *columns: ColumnElement[str]) -> ColumnElement[bool]:
        """The condition that one of the columns is this address, whatever the case of its letters.

        Looks at every row: an index knows one way of writing only, and this is asked once a month.
        """
        wanted = sorted(self.variants | {self.normal})
        return or_(
            *(func.lower(one).in_(wanted) for one in columns),
            *(one == self.normal for one in columns),
        )


@dataclass(frozen=True, slots=True)
class Person:
    """What bears an address.

    Attributes:
        comments: ids by site id, oldest first.
        moderator_id: of their account, if they have one.
    """

    address: Address
    comments: dict[str, list[str]] = field(default_factory=dict)
    moderator_id: str | None = None

    @property
    def comment_ids(self) -> list[str]:
        """All their comments."""
        return [one for ids in self.comments.values() for one in ids]


def address_of(written: str) -> Address:
    """Read an e-mail address.

    Raises:
        Invalid: it is none.
    """
    try:
        parsed = email_validator.validate_email(written.strip(), check_deliverability=False)
    except email_validator.EmailNotValidError as error:
        raise Invalid([FieldError("/email", str(error))]) from error
    spellings = (written.strip(), parsed.normalized, parsed.ascii_email)
    return Address(parsed.normalized, frozenset(_folded(one) for one in spellings if one))


def find(session: Session, address: Address) -> Person:
    """Find what bears an address on all sites.

    Args:
        session: for reading; on PostgreSQL it may take longer than is usual from now on.
        address: whose.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET statement_timeout = 0"))
    rows = session.execute(
        select(COMMENTS.c.site_id, COMMENTS.c.id)
        .where(address.column(COMMENTS.c.email, COMMENTS.c.email_normalised))
        .order_by(COMMENTS.c.site_id, COMMENTS.c.id)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.site_id, []).append(row.id)
    keys = {moderators.fold(one) for one in address.variants}
    account = session.scalar(select(Moderator.id).where(Moderator.email_key.in_(keys)))
    return Person(address, found, account)


def _folded(value: str) -> str:
    return unicodedata.normalize("NFC", value).casefold()
