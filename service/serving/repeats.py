"""Repeats: readers who ask for what was answered a moment ago, answered before Flask begins.

The one rule: it says what `service.api.thread.show` would say, header by header, and knows nothing
by itself. What is not in memory, or not counted on a limit yet, it leaves to the routes.

Most of what a busy thread is asked is this, and Flask's context would be most of what it costs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.base.memory import Memory
from service.base.renderings import Rendering
from service.serving.access import Access, limit_subject
from service.serving.answers import OF_SITE, Asked, Reply, conditional, slug_in
from service.serving.limits import Limits

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BEHIND = "/thread"
_ROUTE = f"{OF_SITE}<site>{_BEHIND}"


@dataclass(frozen=True, slots=True)
class Uncounted:
    """A request whose answer is known, and who has nothing left of what was counted for them.

    Whoever of theirs is answered by the route next brings enough for some more.
    """

    subject: str


class Repeats:
    """Answers from what one process remembers."""

    def __init__(self, access: Access, limits: Limits, threads: Memory[Rendering]) -> None:
        self._access = access
        self._limits = limits
        self._threads = threads

    def answer(self, environ: "WSGIEnvironment") -> "Reply | Uncounted | None":
        """Answer a request, or say that it only was not counted yet.

        `None` if it is for somebody else to answer.
        """
        path: str = environ["PATH_INFO"]
        slug = slug_in(path, _BEHIND)
        if slug is None:
            return None
        site = self._access.known_site(slug)
        if site is None or environ["REQUEST_METHOD"] != "GET":
            return None
        page = self._threads.known((site.id, environ["QUERY_STRING"].encode("latin-1")))
        if page is None:
            return None
        asked = Asked("GET", path, environ.get("HTTP_TRACEPARENT"))
        subject = limit_subject(self._access.address_of(environ))
        count = self._limits.spend_other(subject)
        if count is None:
            return Uncounted(subject)
        status, headers, content = conditional(
            page, environ.get("HTTP_ACCEPT_ENCODING", ""), environ.get("HTTP_IF_NONE_MATCH", "")
        )
        origin = environ.get("HTTP_ORIGIN")
        headers += asked.answered(
            status,
            _ROUTE,
            counts=[count],
            allowed_origin=origin if origin in site.origins else None,
        )
        return Reply(status, headers, content)
