"""Which addresses an endpoint may have, as far as that can be told when it is registered.

The one rule: who is refused learns what is allowed, and nothing of what is inside; so it is said
in the same words whatever the reason, and the log alone has that. Where a name leads is asked at
each attempt and not here: what a name server says today binds nobody tomorrow, and it may take
its time, which no web process has.
"""

import logging

from service.base.config import Settings
from service.base.errors import FieldError, Invalid
from service.core.webhooks.endpoints import Check
from service.pure import destinations
from service.pure.destinations import Refused

log = logging.getLogger(__name__)


def check(settings: Settings) -> Check:
    """Give what checks an address by an installation's settings; it raises `Invalid`."""

    def read(url: str) -> str:
        try:
            return destinations.parse(url, settings).url
        except Refused as refusal:
            log.info("refused as a webhook's address: %s: %s", ascii(url[:200]), refusal.detail)
            raise Invalid([FieldError("/url", f"cannot be used: {ALLOWED}")]) from refusal

    return read


ALLOWED = (
    "it has to be an https address on the Internet, at port 443, 8443 or 80, without user name"
    " and fragment, or one that this installation's settings allow"
)
