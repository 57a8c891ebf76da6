"""Where webhooks may go: addresses of strangers, read strictly.

The one rule: what is let through is public, or in a network that the operator named; whoever is
refused learns that, and nothing about what is inside. Pure: it opens no socket and asks no name
server. What names lead to is checked by whoever looks them up, with `require`, each time.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

import idna

from service.base.config import Settings
from service.base.errors import HamgateError
from service.base.values import IpNetwork

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_MOST_CHARACTERS = 2000
_PORTS = (443, 8443, 80)
_DEFAULT_PORTS = {"https": 443, "http": 80}

# Letters spelt out: with re.IGNORECASE, U+017F is an s. Nothing that two parsers could read in
# two ways (user names, backslashes, spaces, controls, a fragment) has a place in it.
_PATH = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*"
_QUERY = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})+"
_URL = re.compile(
    r"([Hh][Tt][Tt][Pp][Ss]?)://"
    r"(\[[0-9A-Fa-f:.]{2,45}\]|[^\x00-\x20\x7f\"#%/:<>?@\[\\\]^`{|}]{1,255})"
    r"(?::([1-9][0-9]{0,4}))?"
    rf"((?:/{_PATH})?(?:\?{_QUERY})?)\??"  # an empty query is none
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What resolvers and inet_aton(3) take for (part of) a number: 127.1, 0x7f.1, 2130706433.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME_MOST_CHARACTERS = 253
# Names that no public name server knows: RFC 6761, 6762, 7686, 8375; ICANN's for private use;
# what many machines call themselves. A courtesy at registration: answers are what decides.
_INSIDE = (
    *(".localhost", ".localdomain", ".local", ".internal", ".home.arpa"),
    *(".onion", ".invalid", ".test"),
)


def _v4(*networks: str) -> tuple[ipaddress.IPv4Network, ...]:
    return tuple(ipaddress.IPv4Network(network) for network in networks)


def _v6(*networks: str) -> tuple[ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.IPv6Network(network) for network in networks)


# The IANA IPv4 Special-Purpose Address Registry (RFC 6890) and multicast, spelt out: what
# `is_global` says differs between versions of Python.
_NEVER_V4 = _v4(
    "0.0.0.0/8",  # "this network"; Linux takes 0.0.0.0 for itself (RFC 791)
    "224.0.0.0/4",  # multicast (RFC 5771)
    "240.0.0.0/4",  # reserved, with the limited broadcast (RFC 1112, 8190)
)
_NOT_PUBLIC_V4 = (
    *_NEVER_V4,
    *_v4(
        "10.0.0.0/8",  # private (RFC 1918)
        "100.64.0.0/10",  # shared by carriers, and clouds' own services (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local, with the clouds' metadata (RFC 3927)
        "172.16.0.0/12",  # private (RFC 1918)
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.0.2.0/24",  # documentation (RFC 5737)
        "192.31.196.0/24",  # AS112 (RFC 7535)
        "192.52.193.0/24",  # AMT relays (RFC 7450)
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",  # private (RFC 1918)
        "192.175.48.0/24",  # AS112 (RFC 7534)
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",  # documentation (RFC 5737)
        "203.0.113.0/24",  # documentation (RFC 5737)
        # Azure's own services in every virtual machine, under a public number:
        # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "168.63.129.16/32",
    ),
)
# Forms of IPv6 that lead to an IPv4 address. Of the last 96 bits alone one cannot tell a site's
# own NAT64 prefix (RFC 6052 section 2.2), so that is not among them.
_HOLDS_V4 = _v6(
    "::ffff:0:0/96",  # mapped (RFC 4291 section 2.5.5.2)
    "::ffff:0:0:0/96",  # translated (RFC 2765 section 2.1)
    "64:ff9b::/96",  # NAT64 (RFC 6052)
    "64:ff9b:1::/48",  # NAT64, local use (RFC 8215)
    "2001::/32",  # Teredo (RFC 4380)
    "2002::/16",  # 6to4 (RFC 3056)
)
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 section 2.5.5.1; :: and ::1 are in it
_LOOPBACK_V6 = ipaddress.IPv6Address("::1")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # the upper half of the interface id (RFC 5214 section 6.1)
_MULTICAST_V6 = ipaddress.IPv6Network("ff00::/8")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# Within it, the IANA IPv6 Special-Purpose Address Registry (RFC 6890).
_NOT_PUBLIC_V6 = _v6(
    "2001::/23",  # protocol assignments: Teredo, benchmarks, AMT, ORCHID, DRIP (RFC 2928)
    "2001:db8::/32",  # documentation (RFC 3849)
    "2002::/16",  # 6to4 (RFC 3056)
    "2620:4f:8000::/48",  # AS112 (RFC 7534)
    "3ffe::/16",  # 6bone, given back (RFC 3701)
    "3fff::/20",  # documentation (RFC 9637)
)


class Refused(HamgateError):
    """A URL or an address that webhooks may not use.

    Its message is one for all reasons and safe to show.

    Attributes:
        detail: the reason, for the log alone: it may tell what is inside.
    """

    def __init__(self, detail: str) -> None:
        super().__init__("this address cannot be used for webhooks")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a webhook goes, in the one form under which it is kept, checked and asked.

    Attributes:
        scheme: `https` or `http`.
        host: a name in lower case and A-labels, or an address, IPv6 without brackets.
        port: always given.
        target: path and query.
        address: the host, if it is an address and no name.
    """

    scheme: str
    host: str
    port: int
    target: str
    address: IpAddress | None

    @property
    def authority(self) -> str:
        """Host and, where it is not the scheme's own, port: what the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL that leads here."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(url: str, settings: Settings) -> Destination:
    """Read a URL as far as it can be read without asking where its name leads.

    Args:
        url: as somebody wrote it.
        settings: say whether http, which ports and which networks are allowed.

    Raises:
        Refused: webhooks cannot go there.
    """
    match = _URL.fullmatch(url) if len(url) <= URL_MOST_CHARACTERS else None
    if match is None:
        raise Refused("not an absolute http(s) URL as it has to be written")
    scheme, host, port_written, target = match.groups()
    scheme = scheme.lower()
    if scheme == "http" and not settings.webhook_http:
        raise Refused("http is not allowed by the settings")
    port = int(port_written or _DEFAULT_PORTS[scheme])
    if port not in _PORTS and not _opened(port, settings):
        raise Refused(f"port {port} is not allowed")
    address = _address(host)
    found = Destination(
        scheme,
        _name(host, settings) if address is None else str(address),
        port,
        target if target.startswith("/") else f"/{target}",
        address,
    )
    if address is not None:
        require([address], port, settings)
    return found


def require(addresses: Sequence[IpAddress], port: int, settings: Settings) -> None:
    """Make sure that every address a name leads to may be connected to.

    All of them, since whoever answers for the name chooses their order.

    Raises:
        Refused: there is none, or one of them may not.
    """
    if not addresses:
        raise Refused("the name leads nowhere")
    for address in addresses:
        inside = _in_allowed_network(address, settings)
        if not inside and not is_public(address):
            raise Refused(f"{address} is not public")
        if not inside and port not in _PORTS:
            raise Refused(f"port {port} is allowed within HAMGATE_WEBHOOK_NETWORKS only")


def is_public(address: IpAddress) -> bool:
    """Whether an address can be somebody's on the Internet, and leads there without a detour."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return (
        address in _GLOBAL_UNICAST
        and not any(address in network for network in _NOT_PUBLIC_V6)
        and not _is_detour(address)
    )


def _in_allowed_network(address: IpAddress, settings: Settings) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        unusable = any(address in network for network in _NEVER_V4)
    else:
        unusable = address in _MULTICAST_V6 or _is_detour(address)
    return not unusable and any(_holds(network, address) for network in settings.webhook_networks)


def _is_detour(address: ipaddress.IPv6Address) -> bool:
    """Whether an IPv6 address stands for an IPv4 address, or for nobody, or needs a zone."""
    value = int(address)
    return (
        address.scope_id is not None
        or (address in _COMPATIBLE and address != _LOOPBACK_V6)
        or any(address in network for network in _HOLDS_V4)
        or (value >> 32) & 0xFFFF_FFFF in _ISATAP
    )


def _holds(network: IpNetwork, address: IpAddress) -> bool:
    return network.version == address.version and address in network


def _opened(port: int, settings: Settings) -> bool:
    return bool(settings.webhook_networks) and any(
        port in ports for ports in settings.webhook_ports
    )


def _address(host: str) -> IpAddress | None:
    """Read a host that is an address: bracketed, or four decimal numbers without leading zeros."""
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host[1:-1])
        return ipaddress.IPv4Address(host) if host.isascii() else None
    except ValueError:
        if host.startswith("["):
            raise Refused("not an IPv6 address") from None
        return None  # a name, unless it ends like a number


def _name(host: str, settings: Settings) -> str:
    try:
        name = host.lower() if host.isascii() else _mapped(host)
        labels = name.removesuffix(".").split(".")
        if not all(_LABEL.fullmatch(label) for label in labels):
            raise Refused("not a host name")
        for label in labels:
            if label.startswith("xn--"):
                idna.ulabel(label)
    except UnicodeError as error:  # IDNAError is one
        raise Refused(f"not an internationalised host name: {error}") from None
    name = ".".join(labels)
    if len(name) > _NAME_MOST_CHARACTERS:
        raise Refused("the host name is too long")
    if _NUMBER.fullmatch(labels[-1]):
        raise Refused("a host that ends in a number has to be an address in four decimal numbers")
    if not settings.webhook_networks and (len(labels) == 1 or f".{name}".endswith(_INSIDE)):
        raise Refused(f"{name} is a name for inside")
    return name


def _mapped(host: str) -> str:
    """Give a name of other scripts in A-labels (UTS #46 non-transitional, IDNA 2008)."""
    return idna.encode(host, uts46=True, std3_rules=True).decode()
