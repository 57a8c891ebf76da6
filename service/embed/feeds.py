"""Atom feeds (RFC 4287) of a site's comments and of a page's.

The one rule: a feed is as public as the thread; only what is approved is in it.
"""

import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

import flask
from flask import Blueprint, Response
from pydantic import Field

from service.api import parsing
from service.api.schemas import Blank, PageUrl, Request
from service.core import reading
from service.embed import frame
from service.pure import markdown
from service.serving.here import here

blueprint = Blueprint("feeds", __name__)

_NEVER = datetime.fromtimestamp(0, UTC)
# What XML 1.0 cannot say (section 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class FeedQuery(Request):
    """Whose comments; of the whole site without a page."""

    page_url: Blank[PageUrl] = Field(None, description="Only comments of this page.")


@blueprint.get("/<slug>/feed.atom")
def show(slug: str) -> Response:
    """Give the fifty newest comments."""
    site = here().access.site(slug)
    page_url = parsing.query(FeedQuery).page_url
    with here().database.reading() as session:
        entries = reading.newest(session, site.id, page_url)
    base = here().settings.public_url
    feed = flask.render_template(
        "feed.xml",
        site=site,
        own=f"{base}{flask.request.full_path.rstrip('?')}",
        alternate=page_url or min(site.origins, default=base),
        title=(entries[0].page_title or page_url) if page_url and entries else site.name,
        updated=max((one.edited_at or one.created_at for one in entries), default=_NEVER),
        entries=[(one, markdown.render(one.body)) for one in entries],
        base=base,
        host=urlsplit(base).hostname,
        xml=lambda text: _NOT_XML.sub("\ufffd", text or ""),
    )
    answer = frame.pack(Response(feed, mimetype="application/atom+xml"))
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    answer.make_conditional(flask.request)
    return answer
