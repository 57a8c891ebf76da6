"""How single settings are written: limits, networks, ports, addresses, URLs.

The one rule: what is not written as it should be is refused in words that show how.
"""

import importlib.util
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from service.base import relays, sentinels
from service.base.sentinels import has_sound_port

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_LIMIT = re.compile(r"(\d{1,7})/(?:(\d{1,4}) )?(second|minute|hour|day)s?")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_DATABASE_URL = re.compile(r"sqlite:///.+|postgres(ql)?(\+psycopg)?://.+")
_LOCAL = ("localhost", "127.0.0.1", "::1")
_REDIS_URL = re.compile(r"(rediss?|unix)://.+")


class Limit(BaseModel):
    """So many requests in so many seconds, in a fixed window."""

    model_config = ConfigDict(frozen=True)
    amount: int = Field(ge=1)
    window_seconds: int = Field(ge=1)


class PortRange(BaseModel):
    """Ports from the first to the last."""

    model_config = ConfigDict(frozen=True)
    first: int
    last: int

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last


def _parse_limit(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    match = _LIMIT.fullmatch(value.strip())
    if match is None:
        raise ValueError('write it as "30/minute" or "500/10 minutes"')
    amount, count, unit = match.groups()
    return Limit(amount=int(amount), window_seconds=int(count or 1) * _UNIT_SECONDS[unit])


def _parse_networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


def _own_networks(networks: tuple[IpNetwork, ...]) -> tuple[IpNetwork, ...]:
    # 10.0.0.0/8 and fc00::/7 are the widest that are anybody's own.
    for network in networks:
        if network.prefixlen < (8 if network.version == 4 else 7):
            raise ValueError(f"{network} is wider than any network of one's own")
    return networks


def _parse_ports(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = []
    for part in filter(None, map(str.strip, value.split(","))):
        match = _PORTS.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= 65535:
            raise ValueError('write ports and ranges of them as "8080,9000-9100"')
        found.append(PortRange(first=first, last=last))
    return tuple(found)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _base_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/?#\s]+", value.rstrip("/")):
        raise ValueError("write scheme and host only, such as https://comments.example.org")
    return value.rstrip("/")


def _collector(value: str) -> str:
    if not re.fullmatch(r"https?://[^?#\s]+", value):
        raise ValueError("write it as http://HOST:4318, without /v1/traces")
    if importlib.util.find_spec("opentelemetry") is None:
        raise ValueError("what sends traces is not installed: requirements-tracing.lock has it")
    return value.rstrip("/")


def _issuer(value: str) -> str:
    # Kept as written: the provider's own documents have to name it letter by letter.
    if not is_secure(value) or set("?#@ ") & set(value):
        raise ValueError("write it as https://HOST/PATH; http is for localhost only")
    return value


def is_secure(url: str) -> bool:
    """Whether an address is https, or http on this very machine, where nobody listens in."""
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in _LOCAL
    return sound and (parts.scheme == "https" or local)


def _address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("write an address, such as 127.0.0.1, or 0.0.0.0 for all") from None


def _database_url(value: str) -> str:
    if value and not (_DATABASE_URL.fullmatch(value) and has_sound_port(value)):
        raise ValueError(
            "write it as postgresql://USER:PASSWORD@HOST:PORT/NAME or sqlite:///PATH,"
            " with special characters of the password as %XX"
        )
    return value


def _redis_url(value: str) -> str:
    plain = _REDIS_URL.fullmatch(value) and has_sound_port(value)
    if value and not plain and sentinels.read(value) is None:
        raise ValueError(
            "write it as redis://HOST:PORT/0, rediss://… with TLS, unix://PATH,"
            " or redis+sentinel://HOST:PORT,HOST:PORT/NAME/0"
        )
    return value


def _smtp_url(value: str) -> str:
    relays.read(value)
    return value


def _sender(value: str) -> str:
    relays.sender(value)
    return value


RateLimit = Annotated[Limit, BeforeValidator(_parse_limit)]
Networks = Annotated[tuple[IpNetwork, ...], BeforeValidator(_parse_networks)]
OwnNetworks = Annotated[Networks, AfterValidator(_own_networks)]
Ports = Annotated[tuple[PortRange, ...], BeforeValidator(_parse_ports)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Address = Annotated[str, AfterValidator(_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Collector = Annotated[str, AfterValidator(_collector)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
Issuer = Annotated[str, AfterValidator(_issuer)]
SmtpUrl = Annotated[str, AfterValidator(_smtp_url)]
Sender = Annotated[str, AfterValidator(_sender)]
