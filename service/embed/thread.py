"""A page's comments and their form without JavaScript: for such readers, and for crawlers.

The one rule: what is done here is done as by the API, with the same checks and limits.
"""

import secrets
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

import flask
from flask import Blueprint, Response
from markupsafe import Markup
from pydantic import Field, ValidationError

from service.api import challenges, parsing, schemas, submitting
from service.api.objections import Objection
from service.api.schemas import Blank, Line
from service.api.thread import ThreadQuery
from service.base.errors import HamgateError, Invalid, NotFound, RateLimited, Unavailable
from service.core import objections, reading
from service.core.reading import Mark, Order
from service.core.sites import SiteView
from service.embed import frame, words
from service.pure import markdown
from service.serving import problems
from service.serving.access import Caller
from service.serving.challenges import unsolved
from service.serving.here import here

blueprint = Blueprint("thread", __name__)

_WAIT_SECONDS = 2.0
_FIELDS = (
    "name", "email", "url", "body", "honeypot", "altcha", "parent_id", "page_url", "page_title",
    "author_token",
)  # fmt: skip
# What a form that is shown again can still be sent with.
_MENDABLE = (Invalid, RateLimited, Unavailable)
_KEY_MOST = 64


class PageQuery(ThreadQuery):
    """Which comments to show, which one to answer or to report, and by whom.

    `author` is the author token of a browser without scripts, which keeps none by itself.
    """

    reply_to: Blank[Annotated[Line, Field(max_length=30)]] = None
    report: Blank[Annotated[Line, Field(max_length=30)]] = None
    author: Blank[Annotated[Line, Field(max_length=100)]] = None
    lang: Blank[Annotated[Line, Field(max_length=30)]] = None
    said: Blank[Annotated[Line, Field(max_length=30)]] = None


@blueprint.get("/<slug>/thread")
def show(slug: str) -> Response:
    """Show a page's comments, a hundred at a time, and the form to write one."""
    return _page(here().access.site(slug), parsing.query(PageQuery))


@blueprint.post("/<slug>/thread")
def submit(slug: str) -> Response:
    """Take a comment, and lead its author to what became of it."""
    site = here().access.site(slug)
    caller = Caller(site, None, None)
    given = {name: flask.request.form.get(name, "") for name in _FIELDS}
    query = _query(
        page_url=given["page_url"], reply_to=given["parent_id"], author=given["author_token"]
    )
    _check_page(site, query.page_url)
    try:
        try:
            sent = schemas.Submission.model_validate(given)
        except ValidationError as error:
            submitting.count_refused(caller)
            raise problems.invalid(error) from None
        submission = submitting.describe(here(), caller, sent, _key(), flask.request.environ)
        accepted = submitting.accept(caller, submission, sent.altcha)
    except _MENDABLE as error:
        return _page(site, query, given=given, error=error)
    submitting.await_decision(accepted, _WAIT_SECONDS)
    receipt = here().access.receipt(accepted.id)
    return frame.lead("pages.own.show", slug=slug, comment_id=accepted.id, receipt=receipt)


@blueprint.post("/<slug>/comments/<comment_id>/reports")
def report(slug: str, comment_id: str) -> Response:
    """Take a reader's report, and lead back to the comments."""
    site = here().access.site(slug)
    view, _ = submitting.load(comment_id, site.id)
    given = {"reason": flask.request.form.get("reason", "")}
    try:
        reason = Objection.model_validate(given).reason
    except ValidationError as error:
        query = _query(page_url=view.page_url, report=comment_id)
        return _page(site, query, given=given, error=problems.invalid(error))
    with here().database.transaction() as session:
        objections.report(session, comment_id, reason, here().access.reader(comment_id))
    return frame.lead("pages.thread.show", slug=slug, page_url=view.page_url, said="reported")


def _page(
    site: SiteView,
    query: PageQuery,
    *,
    given: Mapping[str, str] | None = None,
    error: HamgateError | None = None,
) -> Response:
    """Show the comments; with what was given and what is wrong with it, if something is."""
    _check_page(site, query.page_url)
    chosen = words.chosen()
    with here().database.reading() as session:
        thread = reading.mark(session, site.id, query.page_url)
        answered, reported = (
            reading.name_of(session, thread, one) if one else None
            for one in (query.reply_to, query.report)
        )
    shown = (query.order, query.after, query.at, flask.request.args.get("lang"))
    if query.author is None:
        comments = (
            here()
            .renderings.get(
                ("page", thread.thread_id, chosen.language, *shown),
                thread,
                lambda: _comments(site, thread, query),
            )
            .plain
        )
    else:  # its links hold what shows who reads: for nobody else
        comments = _comments(site, thread, query)
    # What was only wrong somewhere goes on with its challenge; another error may have used it up.
    kept = given.get("altcha") if given and isinstance(error, Invalid) else None
    page = frame.render(
        "thread.html",
        200 if error is None else problems.answer(error).status_code,
        site=site,
        query=query,
        thread=thread,
        comments=Markup(comments.decode()),  # noqa: S704 - rendered by `_comments`
        answered=answered,
        reported=reported,
        given=given or {},
        key=secrets.token_urlsafe(16),
        altcha=kept or unsolved(challenges.make(site)),
        faults=frame.faults(error, chosen),
        problem=frame.explain(error, chosen) if error and not isinstance(error, Invalid) else None,
        said=chosen.say("reported") if query.said == "reported" else None,
    )
    if isinstance(error, RateLimited):
        page.headers["Retry-After"] = str(error.retry_after_seconds)
    return frame.pack(page) if query.author is None else page


def _comments(site: SiteView, thread: Mark, query: PageQuery) -> bytes:
    """Render the comments alone: the same for all who read them in one language."""
    with here().database.reading() as session:
        page = reading.page(session, thread, Order(query.order), after=query.after, at=query.at)
    return frame.render(
        "_comments.html",
        site=site,
        query=query,
        thread=thread,
        comments=[
            (one, Markup(markdown.render(one.body)))  # noqa: S704 - no HTML of authors
            for one in page.comments
        ],
        after=page.next,
    ).get_data()


def _check_page(site: SiteView, page_url: str) -> None:
    """See that a page is of the site, or anybody could have us show links to any other."""
    parts = urlsplit(page_url)
    if f"{parts.scheme}://{parts.netloc}" not in site.origins:
        raise NotFound(f"{page_url} is not a page of this site")


def _query(**given: str | None) -> PageQuery:
    try:
        return PageQuery.model_validate(given)
    except ValidationError as error:
        raise problems.invalid(error) from None


def _key() -> str | None:
    """Give the form's own Idempotency-Key: pressed twice, it is one comment."""
    key = flask.request.form.get("key", "")
    return f"page:{key}" if 16 <= len(key) <= _KEY_MOST and key.isascii() else None
