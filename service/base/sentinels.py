"""URLs of a Redis whose place its sentinels know.

The one rule: what is read here is only where to ask and how to log in; asking is for `jobs`.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORT = 26379
_HOST = r"(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::\d{1,5})?"
_URL = re.compile(
    rf"(?P<scheme>rediss?)\+sentinel://(?P<login>[^@/?#]*@)?(?P<hosts>{_HOST}(?:,{_HOST})*)"
    r"/(?P<service>[^/?#]+)(?P<db>/\d+)?(?P<query>\?.*)?"
)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Who is asked where Redis is.

    Attributes:
        hosts: host and port of each.
        service: what they call the servers whose primary we want.
        primary: a plain URL of it, whose host is only a place-holder.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    primary: str


def read(url: str) -> Sentinels | None:
    """Read a URL such as redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/NAME/0.

    Login, database and query are the primary's, as in a plain URL; rediss+sentinel:// is with TLS
    to all of them. The sentinels' own login is in the query: `sentinel_username`,
    `sentinel_password`.

    Returns:
        `None` if it is not one.
    """
    match = _URL.fullmatch(url)
    if match is None:
        return None
    hosts = [f"//{host}" for host in match["hosts"].split(",")]
    if not all(map(has_sound_port, hosts)):
        return None
    parts = [urlsplit(host) for host in hosts]
    return Sentinels(
        hosts=tuple((str(part.hostname), part.port or _PORT) for part in parts),
        service=match["service"],
        primary="{scheme}://{login}primary{db}{query}".format_map(match.groupdict(default="")),
    )


def has_sound_port(url: str) -> bool:
    """Whether a URL's port, if it names one, is one that can be connected to."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False
