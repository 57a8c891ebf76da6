"""What readers of a page ask: its comments, their number, and how a text will look.

The one rule: a page of comments is rendered once for each change of its thread and then kept as
bytes (`service.base.renderings`). Whether it changed is one look by id, once a second.
"""

from datetime import datetime
from typing import Annotated, Literal

import flask
from flask import Response
from pydantic import Field

from service.api import parsing
from service.api.openapi import operation
from service.api.schemas import Answer, Blank, Body, Line, PageUrl, Request
from service.base.renderings import Rendering
from service.core import reading
from service.core.reading import COUNTS_MOST, Mark, Order
from service.pure import markdown
from service.serving import access, answers
from service.serving.here import here

blueprint = flask.Blueprint("thread", __name__)

_ANYBODY = "Anybody; a page's script only from the site's origins."


class ThreadQuery(Request):
    """Which comments to read."""

    page_url: PageUrl = Field(description="The page they are on.")
    order: Literal["oldest", "newest"] = Field(
        "oldest", description="Of those that answer no other."
    )
    after: Blank[Annotated[Line, Field(max_length=30)]] = Field(
        None, description="`next` of the page before."
    )
    at: Blank[Annotated[Line, Field(max_length=30)]] = Field(
        None, description="Id of a comment; instead of `after`, gives the page that it is on."
    )


class PublicComment(Answer):
    """A comment as everybody sees it."""

    id: str
    parent_id: str | None = Field(description="The public comment it stands under.")
    depth: int = Field(ge=0, le=reading.DEEPEST)
    name: str
    url: str | None
    html: str = Field(description="The text, safe to put into a page.")
    created_at: datetime
    edited_at: datetime | None


class Thread(Answer):
    """A page of comments in the order in which they are shown, each before its replies."""

    page_url: str
    title: str | None
    closed: bool
    version: int = Field(description="Grows with each change of what is public.")
    count: int = Field(description="How many comments are public.")
    before: int = Field(description="How many of them stand before these.")
    comments: list[PublicComment]
    next: str | None = Field(description="`after` of the next page; `null` at the end.")
    edit_seconds: int = Field(description="How long authors may edit; 0 for never.")


class Counts(Answer):
    """How many public comments pages have."""

    counts: dict[str, int] = Field(description="By the address that was asked for.")


class CountsQuery(Request):
    """Pages to count the comments of."""

    page_url: Annotated[list[PageUrl], Field(min_length=1, max_length=COUNTS_MOST)] = Field(
        description=f"1 to {COUNTS_MOST} addresses, each as a parameter of its own."
    )


class Draft(Request):
    """A text that is being written, or written anew."""

    body: Body


class Rendered(Answer):
    """How it will look."""

    html: str


@blueprint.get("/sites/<site>/thread")
@operation(
    "Read a page's comments",
    who=_ANYBODY,
    query=ThreadQuery,
    answers={200: Thread},
    problems=[404, 422, 429, 503],
    headers={"If-None-Match": "The `ETag` of what one has: 304 if it is still right."},
)
def show(site: str) -> Response:
    """Read what is public, a hundred comments at a time.

    Ask again with `If-None-Match` to see what is new: nothing is rendered for a 304.
    """
    owner = here().access.site(site)
    access.allow_origin(owner)
    asked = (owner.id, flask.request.query_string)
    return _conditional(here().threads.get(asked, lambda: _look(owner.id)))


@blueprint.get("/sites/<site>/counts")
@operation(
    "Count pages' comments",
    who=_ANYBODY,
    query=CountsQuery,
    answers={200: Counts, 414: ()},  # beyond 64 kB by the server itself, without a body
    problems=[404, 422, 429, 503],
)
def counts(site: str) -> Response:
    """Give how many public comments each of up to a hundred pages has."""
    owner = here().access.site(site)
    access.allow_origin(owner)
    wanted = parsing.query(CountsQuery, several=frozenset({"page_url"})).page_url
    asked = flask.request.args.getlist("page_url")
    with here().database.reading() as session:
        found = reading.counts(session, owner.id, wanted)
    told = Counts(counts={written: found[url] for written, url in zip(asked, wanted, strict=True)})
    return _conditional(Rendering.of(told.model_dump_json().encode()))


@blueprint.post("/sites/<site>/markdown")
@operation(
    "See how a text will look",
    who="A browser on one of the site's origins, or a key with scope `submit`.",
    body=Draft,
    answers={200: Rendered},
    problems=[400, 401, 403, 404, 413, 415, 422, 429, 503],
)
def preview(site: str) -> Response:
    """Give a text as HTML, by what renders comments."""
    here().access.submitter(site)
    draft = parsing.body(Draft)
    html = Rendered(html=markdown.render(draft.body))
    return Response(html.model_dump_json(), 200, mimetype="application/json")


def _look(site_id: str) -> Rendering:
    """Read the query, and see whether what is kept is still right."""
    query = parsing.query(ThreadQuery)
    with here().database.reading() as session:
        thread = reading.mark(session, site_id, query.page_url)
    asked = ("thread", thread.thread_id, query.order, query.after, query.at)
    return here().renderings.get(asked, thread, lambda: _render(thread, query))


def _render(thread: Mark, query: ThreadQuery) -> bytes:
    with here().database.reading() as session:
        page = reading.page(session, thread, Order(query.order), after=query.after, at=query.at)
    told = Thread(
        page_url=query.page_url,
        title=thread.title,
        closed=thread.closed,
        version=thread.version,
        count=thread.count,
        before=page.before,
        comments=[
            PublicComment(
                id=one.id,
                parent_id=one.parent_id,
                depth=one.depth,
                name=one.name,
                url=one.url,
                html=markdown.render(one.body),
                created_at=one.created_at,
                edited_at=one.edited_at,
            )
            for one in page.comments
        ],
        next=page.next,
        edit_seconds=here().settings.edit_seconds,
    )
    return told.model_dump_json().encode()


def _conditional(page: Rendering) -> Response:
    asked = flask.request.headers
    status, headers, content = answers.conditional(
        page, asked.get("Accept-Encoding", ""), asked.get("If-None-Match", "")
    )
    return Response(content, status, headers)
