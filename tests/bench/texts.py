"""Comments to submit: generated, all different, as long as people's comments are.

Lengths are log-normal with the median and the quartiles of comments on blogs: 80, 170 and 360
characters. One in eight is an advertisement with links.
"""

import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_MEDIAN_CHARACTERS = 170
_SIGMA = 1.1
_SHORTEST, _LONGEST = 10, 4_000
_PAGES = 100


def _words(text: str) -> list[str]:
    return text.split()


_PLAIN = _words("""
the a this that my your our one some every and but so because when if after before with without
I we you they it was is had have did does tried found read think know wonder remember agree
second first last chapter step recipe photo paragraph update version garden engine kitchen train
question answer reason example picture mistake detail bread soup bicycle guitar camera keyboard
worked broke helped changed missed arrived failed improved surprised taught explained compiled
really quite never always almost probably honestly slowly carefully again here there yesterday
thanks great sadly maybe actually hello interesting good better strange useful lovely wrong long
winter summer morning weekend years minutes neighbours children parents colleagues teachers
""")
_LOUD = _words("""
FREE cheap bonus casino pills discount winner click now offer crypto profit guaranteed followers
subscribe channel loan credit instant deposit jackpot replica watches best price limited visit
""")
_SYLLABLES = _words(
    "ba den fil gor hu jin kel lam mor nes op pra quil ros sta tev und vor wex yan zi"
)
# What Firefox sends with a cross-origin fetch, besides what belongs to the one request.
_BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "application/json",
    "Accept-Language": "en-GB,en;q=0.7",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
    "Connection": "keep-alive",
}
_NAMES = _words("Ada Grace Linus Mina Tomás Zoë Ravi Ingrid Noor Pavel Yuki Amara Sven Lucía Omar")


def _invent(count: int) -> list[str]:
    dice = random.Random(count)
    return ["".join(dice.choices(_SYLLABLES, k=dice.randint(2, 4))) for _ in range(count)]


# One word in five is rare, as in any language: here, one that is made up.
_RARE = _invent(20_000)


@dataclass(frozen=True, slots=True)
class Text:
    """One generated comment and its author."""

    name: str
    email: str
    body: str
    page: int


def generate(first: int, count: int) -> Iterator[Text]:
    """Give `count` texts, the same ones for the same numbers; none is like another."""
    for number in range(first, first + count):
        dice = random.Random(number)
        length = min(
            max(dice.lognormvariate(math.log(_MEDIAN_CHARACTERS), _SIGMA), _SHORTEST), _LONGEST
        )
        name = f"{dice.choice(_NAMES)} {number}"
        yield Text(
            name=name,
            email=f"reader{number}@mail{number % 50}.example.org",
            body=_body(dice, int(length), number),
            page=number % _PAGES,
        )


def _body(dice: random.Random, length: int, number: int) -> str:
    loud = dice.random() < 0.125
    ending = f" http://offer{number}.example/{number}" if loud else f" No {number}."
    common = [*_PLAIN, *_LOUD * 4] if loud else _PLAIN
    sentences: list[str] = []
    while sum(map(len, sentences)) < length:  # sentences of 4 to 16 words
        words = dice.choices(common, k=dice.randint(3, 13))
        words += dice.choices(_RARE, k=len(words) // 4)
        dice.shuffle(words)
        sentences.append(f"{' '.join(words).capitalize()}.")
    return " ".join(sentences)[: max(1, length - len(ending))] + ending


def request(text: Text, origin: str, fields: Mapping[str, str]) -> bytes:
    """Give the JSON of a submission; `fields` as of `load.Target`."""
    ours = {
        "page_url": f"{origin}/posts/{text.page}",
        "name": text.name,
        "email": text.email,
        "body": text.body,
    }
    sent = {fields[name]: ours[name] for name in fields} if fields else ours
    return json.dumps(sent, ensure_ascii=False).encode()


def get_request(path: str, host: str, headers: Mapping[str, str]) -> bytes:
    """Give a whole HTTP request for a page's data, ready to be sent."""
    fixed = "".join(f"{name}: {value}\r\n" for name, value in {**_BROWSER, **headers}.items())
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{fixed}\r\n".encode()


def http_requests(
    path: str,
    host: str,
    headers: Mapping[str, str],
    texts: Iterator[Text],
    origin: str,
    *,
    keyed: bool,
    fields: Mapping[str, str],
) -> list[bytes]:
    """Give whole HTTP requests, ready to be sent, each from an address of its own.

    Args:
        path: where to post to.
        host: for the Host header.
        headers: sent with each, besides a browser's own.
        texts: one request for each.
        origin: of the page that submits.
        keyed: whether each has an Idempotency-Key of its own, as the widget sends it.
        fields: as of `load.Target`.
    """
    always = {**_BROWSER, "Referer": f"{origin}/", **headers}
    fixed = "".join(f"{name}: {value}\r\n" for name, value in always.items())
    made = []
    for number, text in enumerate(texts):
        body = request(text, origin, fields)
        own = f"X-Forwarded-For: 11.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}\r\n"
        if keyed:
            own += f'Idempotency-Key: "{random.Random(text.email).getrandbits(128):032x}"\r\n'
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n{fixed}{own}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made
