"""What is known of an e-mail address beyond its form: whether mail arrives, and for how long."""

import functools

import email_validator
from disposable_email_domains import blocklist
from dns.resolver import Resolver
from email_validator import EmailNotValidError, ValidatedEmail


@functools.cache
def _resolver() -> Resolver:
    return email_validator.caching_resolver(timeout=3)


def undeliverable(email: str) -> str | None:
    """Ask DNS whether a valid address's domain takes mail; give why not, or `None`.

    Answers are cached as long as DNS allows; a look-up that times out counts as deliverable.
    """
    try:
        email_validator.validate_email(email, check_deliverability=True, dns_resolver=_resolver())
    except EmailNotValidError as error:
        return str(error)
    return None


def is_disposable(parsed: ValidatedEmail) -> bool:
    """Whether the domain, or one it belongs to, hands out throw-away addresses."""
    labels = parsed.ascii_domain.lower().split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels) - 1))
