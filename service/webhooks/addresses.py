"""Which addresses an endpoint may have, as far as that can be told when it is registered.

The one rule: who is refused learns what is allowed, and nothing of what is inside.
"""

import re

from service.config import Settings
from service.errors import FieldError, Invalid
from service.webhooks.endpoints import Check

_URL = re.compile(r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.[a-z]{2,63}(?::(?:443|8443))?/[!-~]*")


def check(settings: Settings) -> Check:
    """Give what checks an address by an installation's settings; it raises `Invalid`."""

    def read(url: str) -> str:
        if not _URL.fullmatch(url):
            raise Invalid([FieldError("/url", f"cannot be used: {ALLOWED}")])
        return url

    return read


ALLOWED = (
    "it has to be an https address on the Internet, at port 443 or 8443, without user name and"
    " fragment"
)
