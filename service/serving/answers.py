"""Answers: what every answer carries, and what it leaves in counters and in the log.

The one rule: it is the same whoever made the answer, Flask's routes, `repeats` or `arrivals`.
"""

import functools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header, parse_etags

from service.base import logs
from service.base.renderings import Rendering
from service.ledger.db import new_id
from service.operations import metrics, traces
from service.serving import limits
from service.serving.limits import Count

# As it always was, so that whoever filters the log by it finds the lines of all answers.
log = logging.getLogger("service.web")

_EXPOSED = "Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"

# What the API's routes of one site begin with; the site's slug follows.
OF_SITE = "/api/v1/sites/"

Headers = list[tuple[str, str]]


class Reply(NamedTuple):
    """An answer, whole."""

    status: int
    headers: Headers
    content: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is being answered.

    Attributes:
        traceparent: the field of that name: of what the caller says it is a part.
    """

    method: str
    path: str
    traceparent: str | None = None
    request_id: str = field(default_factory=lambda: new_id("req"))
    began: float = field(default_factory=time.perf_counter)

    def answered(
        self,
        status: int,
        route: str | None,
        *,
        counts: Sequence[Count],
        allowed_origin: str | None,
        comment_id: str | None = None,
    ) -> Headers:
        """Count and log the answer, and give the headers that it carries besides its own.

        Args:
            status: of the answer.
            route: as it was declared; `None` if there is none.
            counts: how the limits stand that the request was counted on.
            allowed_origin: whose page may read the answer.
            comment_id: of the comment that it made or changed.
        """
        headers = [
            ("X-Request-Id", self.request_id),
            ("X-Content-Type-Options", "nosniff"),
            *limits.headers(counts).items(),
        ]
        if allowed_origin is not None:
            headers.append(("Access-Control-Allow-Origin", allowed_origin))
            headers.append(("Access-Control-Expose-Headers", _EXPOSED))
        seconds = time.perf_counter() - self.began
        route = route or "none"
        _requests(route, status).inc()
        _seconds(route).observe(seconds)
        log.info(
            "%s %s %d %.1f ms %s%s",
            self.method,
            self.path,
            status,
            seconds * 1000,
            self.request_id,
            f" {comment_id}" if comment_id else "",
            extra=logs.fields(
                request=self.request_id,
                method=self.method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 1),
                comment=comment_id,
            ),
        )
        if (spans := traces.current()) is not None:
            spans.request(
                method=self.method,
                route=route,
                status=status,
                seconds=seconds,
                request_id=self.request_id,
                comment_id=comment_id,
                traceparent=self.traceparent,
            )
        return headers


def slug_in(path: str, behind: str) -> str | None:
    """Give the slug in a path of one of the API's routes of a site; `None` if it is another path.

    Args:
        path: of the request.
        behind: what that route has behind the slug, such as `/thread`.
    """
    if path.startswith(OF_SITE) and path.endswith(behind):
        return path[len(OF_SITE) : -len(behind)]
    return None


# To find a child by its labels takes a lock and longer than to count; there are a few hundred.
_requests = functools.cache(metrics.REQUESTS.labels)
_seconds = functools.cache(metrics.SECONDS.labels)


def conditional(page: Rendering, accept_encoding: str, if_none_match: str) -> Reply:
    """Give the answer with a page that a reader may have already.

    Args:
        page: as it is now.
        accept_encoding: the request's field, empty if it has none.
        if_none_match: likewise.
    """
    packs = _packs(accept_encoding)
    tag = f"{page.digest}-gzip" if packs else page.digest
    headers = [
        ("ETag", f'"{tag}"'),
        ("Cache-Control", "no-cache"),  # may be kept, and is asked for each time
        ("Vary", "Accept-Encoding, Origin"),
    ]
    # Not `make_conditional`: that looks at ranges and dates too, which takes as long as the rest.
    if if_none_match and parse_etags(if_none_match).contains_weak(tag):
        return Reply(304, headers, b"")
    content = page.packed if packs else page.plain
    headers.append(("Content-Type", "application/json"))
    headers.append(("Content-Length", str(len(content))))
    if packs:
        headers.append(("Content-Encoding", "gzip"))
    return Reply(200, headers, content)


@functools.lru_cache(maxsize=256)
def _packs(accept_encoding: str) -> bool:
    """Whether a reader takes gzip; browsers say it in a handful of ways."""
    return parse_accept_header(accept_encoding, Accept)["gzip"] > 0
