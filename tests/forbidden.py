"""Every way we know to write an address inside, so that a guard takes it for one outside.

From the WHATWG URL standard's number parser, inet_aton(3), RFC 4291, 6052, 3056, 4380 and 5214,
UTS #46, and the forms told of in reports of guards that were passed.
"""

import itertools
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

V4 = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200"),
    *("100.127.255.255", "127.0.0.1", "127.0.1.3", "127.255.255.254", "168.63.129.16"),
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1"),
    *("192.168.0.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
    *("254.255.255.255", "255.255.255.255"),
]
V6 = [
    *("::", "::1", "::2", "100::1", "100:0:0:1::1", "200::1", "400::", "1fff:ffff::1"),
    *("64:ff9b::808:808", "64:ff9b:1::808:808", "::ffff:808:808", "::ffff:0:808:808", "::808:808"),
    *("2001::1", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1"),
    *("2001:20::1", "2001:30::1", "2001:1ff:ffff::1", "2001:db8::1", "2001:db8:ffff::1"),
    *("2002:808:808::1", "2002::", "2620:4f:8000::1", "3ffe::1", "3fff::1", "3fff:fff::1"),
    *("4000::1", "5f00::1", "8000::1", "e000::", "fc00::1", "fd00:ec2::254", "fd20:ce::254"),
    *("fdff:ffff::1", "fe00::1", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1"),
    *("ff02::1", "ff0e::1", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1"),
]
_DIGITS = {
    "full-width": "０１２３４５６７８９",
    "circled": "⓪①②③④⑤⑥⑦⑧⑨",
    "superscript": "⁰¹²³⁴⁵⁶⁷⁸⁹",
    "subscript": "₀₁₂₃₄₅₆₇₈₉",
    "bold": "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗",
    "double-struck": "𝟘𝟙𝟚𝟛𝟜𝟝𝟞𝟟𝟠𝟡",
    "monospace": "𝟶𝟷𝟸𝟹𝟺𝟻𝟼𝟽𝟾𝟿",
    "segmented": "🯰🯱🯲🯳🯴🯵🯶🯷🯸🯹",
    "arabic": "٠١٢٣٤٥٦٧٨٩",
}
_DOTS = "。．｡"
_LOCALHOST = [
    *("localhost", "LOCALHOST", "LocalHost", "localhost.", "localhost.localdomain", "localhost6"),
    *("a.localhost", "a.b.LOCALHOST.", "ip6-localhost", "ip6-loopback", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ"),
    *("ｌｏｃａｌｈｏｓｔ", "𝐥𝐨𝐜𝐚𝐥𝐡𝐨𝐬𝐭", "ℓocalhost", "localhoſt", "LOCALHOST", "loc\u00adalhost"),
    *("local\u200bhost", "local\u2060host", "localhost。", "xn--localhost", "broadcasthost"),
    *("metadata", "metadata.google.internal", "metadata.goog.internal", "instance-data"),
    *("instance-data.ec2.internal", "kubernetes.default.svc.cluster.local", "kubernetes"),
    *("printer.local", "router.home.arpa", "db", "postgres", "redis", "vault.internal"),
    *("hidden.onion", "x.invalid", "x.test"),
]


def _spellings_of(written: str) -> Iterator[str]:
    """Give what some resolver or URL parser takes for the IPv4 address."""
    octets = [int(part) for part in written.split(".")]
    a, b, c, d = octets
    number = int(IPv4Address(written))
    yield written
    for value in (number, number + 2**32):
        yield from (f"{value}", f"{value:#x}", f"0X{value:X}", f"0{value:o}", f"0x0000{value:x}")
    forms = ("{}", "0{:o}", "{:#x}", "000{:o}", "0x00{:x}", "0X{:X}", "0{}", "{:03}")
    for form in forms[1:]:
        yield ".".join(form.format(octet) for octet in octets)
    for form in forms[:3]:
        yield f"{a}.{b}." + form.format(c << 8 | d)
        yield f"{a}." + form.format(b << 16 | c << 8 | d)
        yield f"{a:#x}." + form.format(b << 16 | c << 8 | d)
    yield f"{a + 256}.{b}.{c}.{d}"
    yield f"{a}.{b}.{c}.{d + 256}"
    yield from (f"{written}.", f"{written}..", f".{written}", f"{a}.{b}..{c}.{d}")
    yield from (f"{written}.0", f"0.{written}", f"+{written}", f"-{written}", f"{written}_")
    yield from (f"{a:b}.{b:b}.{c:b}.{d:b}", f"{written}/8", f"{a},{b},{c},{d}", f"{a}:{b}:{c}:{d}")
    for dot in _DOTS:
        yield written.replace(".", dot)
        yield written.replace(".", dot, 1)
    for digits in _DIGITS.values():
        table = str.maketrans("0123456789", digits)
        yield written.translate(table)
        yield written.translate(table).replace(".", "。")
        yield written[:-1] + written[-1].translate(table)
        yield f"0x{number:x}".translate(table)
    yield "".join(f"%{ord(char):02x}" for char in written)
    yield written.replace(".", "%2e")
    yield written.replace(".", "%252e")
    yield f"%{ord(written[0]):x}{written[1:]}"
    yield from (f"{written}%00", f"{written}%00.example.com", f"{written}%09", f"{written}%20")
    yield from (f"[{written}]", f"[::{written}", f"{written}]", f"[{written}", f"({written})")


def _mixed(written: str) -> Iterator[str]:
    """Give all mixtures of decimal, octal and hexadecimal, but the plain one."""
    octets = [int(part) for part in written.split(".")]
    for forms in itertools.product(("{}", "0{:o}", "{:#x}"), repeat=4):
        if set(forms) != {"{}"}:
            yield ".".join(form.format(octet) for form, octet in zip(forms, octets, strict=True))


def _in_v6(written: str) -> Iterator[str]:
    """Give the forms of IPv6 in which an IPv4 address is hidden, in several spellings."""
    number = int(IPv4Address(written))
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    swapped = number ^ 0xFFFF_FFFF
    addresses = [
        *(f"::ffff:{written}", f"::FFFF:{written}", f"0:0:0:0:0:ffff:{written}"),
        *(f"::ffff:{high}:{low}", f"0000:0000:0000:0000:0000:ffff:{high:>04}:{low:>04}"),
        *(f"0::ffff:{written}", f"::0:ffff:{written}", f"0:0::0:ffff:{high}:{low}"),
        *(f"::{written}", f"::{high}:{low}", f"0:0:0:0:0:0:{written}", f"::ffff:0:{written}"),
        *(f"64:ff9b::{written}", f"64:FF9B::{high}:{low}", f"0064:ff9b:0::{written}"),
        *(f"64:ff9b:1::{written}", f"64:ff9b:1:fffe::{written}", f"64:ff9b:1:{high}:{low}::"),
        *(f"2002:{high}:{low}::", f"2002:{high}:{low}::1", f"2002:{high}:{low}:1:2:3:4:5"),
        f"2001:0:808:808:0:ffff:{swapped >> 16:x}:{swapped & 0xFFFF:x}",
        f"2001:0:{high}:{low}:8000:f227:f7f7:f7f7",
        f"2001::{written}",
        *(f"2606:4700::5efe:{written}", f"2606:4700:0:1:200:5efe:{high}:{low}"),
        *(f"fe80::5efe:{written}", f"fe80::200:5EFE:{high}:{low}"),
    ]
    for address in addresses:
        yield f"[{address}]"


def _in_brackets() -> Iterator[str]:
    for written in V6:
        address = IPv6Address(written)
        yield from (f"[{written}]", f"[{written.upper()}]", f"[{address.exploded}]")
        yield from (
            f"[{written}%eth0]",
            f"[{written}%25eth0]",
            f"[{written}%1]",
            f"[{written}%251]",
        )
        yield from (written, f"[{written}", f"[[{written}]]", f"[{written}].example.com")
    yield from (
        "[]",
        "[:]",
        "[:::1]",
        "[::1::]",
        "[1:2:3:4:5:6:7]",
        "[::g]",
        "[::1 ]",
        "[v1.fe80::a]",
    )
    yield from ("[::ffff:127.0.0.01]", "[::127.1]", "[::ffff:0x7f.0.0.1]", "[２::1]", "[::１]")
    yield from ("[2606:4700::1%eth0]", "[2606:4700::1%25en0]", "[2606:4700::1\u2044]")


def hosts() -> list[str]:
    """Give the hosts, as they would stand in a URL."""
    return list(
        dict.fromkeys(
            [
                *itertools.chain.from_iterable(map(_spellings_of, V4)),
                *itertools.chain.from_iterable(map(_in_v6, [*V4, "8.8.8.8", "1.1.1.1"])),
                *itertools.chain.from_iterable(map(_mixed, ["127.0.0.1", "169.254.169.254"])),
                *_in_brackets(),
                *_LOCALHOST,
            ]
        )
    )


# Of each, one parser or another takes the second host for the one to ask.
_CONFUSED = [
    *("https://{out}@{ins}/", "https://{out}:443@{ins}/", "https://{ins}@{out}/"),
    *("https://{out}\\@{ins}/", "https://{ins}\\@{out}/", "https://{out}#@{ins}/"),
    *("https://{ins}#@{out}/", "https://{out}?@{ins}#/", "https://{out}/#@{ins}/"),
    *("https://{out}%23@{ins}/", "https://{out}%2f@{ins}/", "https://{out}%40{ins}/"),
    *("https://{out}:@{ins}/", "https://@{ins}/", "https://:@{ins}/", "https://a:b@{out}/"),
    *("https://{out} @{ins}/", "https://{out}\t@{ins}/", "https://{out}\n@{ins}/"),
    *("https://{out}\r\nHost: {ins}/", "https://{out}/ HTTP/1.1\r\nHost: {ins}\r\n\r\n"),
    *("https://{out}\x00.{ins}/", "https://{out}\x00@{ins}/", "https://{out}\\{ins}/"),
    *("https://{out};@{ins}/", "https://{out},{ins}/", "https://{out}&@{ins}#@{ins}/"),
    *("https:\\\\{out}/", "https:/{out}/", "https:{out}/", "https:///{out}/", "https://\\{out}/"),
    *("//{out}/", "{out}", "/{out}", "\\\\{out}\\share", "https//{out}/", " https://{out}/"),
    *("https://{out}/\n", "\thttps://{out}/", "https://{out}/ ", "ht\ntps://{out}/"),
    *("https://{out}\uff0f@{ins}/", "https://{out}\uff03@{ins}/", "https://{out}\u2100{ins}/"),
    *("https://{out}\uff1a80@{ins}/", "https://{out}\uff20{ins}/", "https://{out}\uff3c{ins}/"),
    *("https://{out}:443:80/", "https://{out}:/", "https://{out}:0443/", "https://{out}:+443/"),
    *("https://{out}:443{ins}/", "https://{out}:４４３/", "https://{out}: 443/"),
    *("https://{out}:443 /", "https://{out}:0x1bb/", "https://{out}:-1/", "https://{out}:65536/"),
    *("https://{out}:4294967739/", "https://{out}:0/", "https://{out}:22/", "https://{out}:25/"),
    *("https://{out}:81/", "https://{out}:6379/", "https://{out}:5432/", "https://{out}:8080/"),
    *(
        "https://{out}/a b",
        "https://{out}/\x7f",
        "https://{out}/ä",
        "https://{out}/%",
        "https://{out}/%zz",
    ),
    *(
        "https://{out}/#",
        "https://{out}#x",
        "https://{out}/?#",
        'https://{out}/"',
        "https://{out}/<x>",
    ),
    *("https://{out}/\\", "https://{out}/{{x}}", "https://{out}/a|b", "https://{out}/a^b"),
    *("file:///etc/passwd", "file://{out}/etc/passwd", "ftp://{out}/", "gopher://{ins}:6379/_x"),
    *("dict://{ins}:11211/", "ldap://{ins}/", "ws://{out}/", "wss://{out}/", "data:,x"),
    *("javascript:alert(1)", "jar:https://{out}!/", "netdoc:///etc/passwd", "unix:///run/x.sock"),
    *("http+unix://%2frun%2fx.sock/", "httpſ://{out}/", "ｈttps://{out}/", "httpss://{out}/"),
    *(
        "https+http://{out}/",
        "blob:https://{out}/",
        "view-source:https://{out}/",
        "https",
        "",
        "://",
    ),
    *("https://", "https:///", "https://?", "https://#", "https://.", "https://..", "https://./"),
    *("https://-/", "https://a..com/", "https://.com/", "https://a_b.com/", "https://-a.com/"),
    *(
        "https://a-.com/",
        "https://*.com/",
        "https://a.com../",
        "https://xn--a.com/",
        "https://xn--.com/",
    ),
    *(
        "https://xn--127-0-0-1.com/",
        "https://\ud800.com/",
        "https://a\u200d.com/",
        "https://\u0338.com/",
    ),
    "https://" + "a" * 64 + ".com/",
    "https://" + ".".join(["a" * 63] * 5) + "/",
    "https://{out}/" + "a" * 2000,
]


def urls() -> list[str]:
    """Give the URLs of those hosts, and those in which parsers differ about the host."""
    return list(
        dict.fromkeys(
            [
                *(f"https://{host}/" for host in hosts()),
                *(f"http://{host}/" for host in hosts()),
                *(f"https://{host}:8443/hook?x" for host in ("127.0.0.1", "[::1]", "localhost")),
                *(
                    form.format(out=out, ins=inside)
                    for form in _CONFUSED
                    for out in ("example.com", "8.8.8.8", "[2606:4700::1]")
                    for inside in ("127.0.0.1", "[::1]", "169.254.169.254", "localhost")
                ),
            ]
        )
    )
