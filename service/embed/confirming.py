"""The pages that a mail's links lead to: confirm an address, or want no more mail.

The one rule: a look asks and only a press of the button acts, since mail scanners follow links.
What a link is not good for any more looks like what it never was.
"""

from typing import Any

import flask
from flask import Blueprint, Response

from service.base.errors import NotFound
from service.core import confirmations
from service.core.confirmations import Confirmed
from service.core.sites import SiteView
from service.embed import frame, words
from service.ledger.db import utc_now
from service.pure import letters, seals
from service.pure.letters import Words
from service.serving.here import here

blueprint = Blueprint("confirming", __name__)


@blueprint.get("/<slug>/confirmation")
def ask(slug: str) -> Response:
    """Ask whether the address is the reader's."""
    site = here().access.site(slug)
    try:
        with here().database.reading() as session:
            confirmations.check(session, _sealed(seals.CONFIRM), site.id)
    except NotFound:
        return _void()
    said = _words()
    return _page(
        said.say("title"),
        [said.say("ask", site=site.name), said.say("means", site=site.name)],
        button=said.say("yes"),
    )


@blueprint.post("/<slug>/confirmation")
def confirm(slug: str) -> Response:
    """Believe it, and give the browser what shows it from now on."""
    site = here().access.site(slug)
    try:
        with here().database.transaction() as session:
            confirmation_id = _sealed(seals.CONFIRM)
            confirmed = confirmations.confirm(session, confirmation_id, site.id)
    except NotFound:
        return _void()
    said = _words()
    if not confirmed.trusted:
        return _page(said.say("title"), [said.say("distrusted", site=site.name)])
    back, plain = _ways_on(site, confirmation_id, confirmed)
    return _page(
        said.say("confirmed"),
        [said.say("go-back"), said.say("means", site=site.name)],
        back=back,
        plain=plain,
    )


@blueprint.get("/<slug>/silence")
def offer_silence(slug: str) -> Response:
    """Ask whether there shall be no more mail."""
    here().access.site(slug)
    said = _words()
    if here().access.seals.open(seals.SILENCE, flask.request.args.get("token", "")) is None:
        return _void()
    return _page(
        said.say("silence-title"), [said.say("silence-ask")], button=said.say("silence-yes")
    )


@blueprint.post("/<slug>/silence")
def silence(slug: str) -> Response:
    """Never write to this mailbox again; mail programs do this by themselves (RFC 8058)."""
    site = here().access.site(slug)
    try:
        with here().database.transaction() as session:
            confirmations.silence(session, _sealed(seals.SILENCE), site.id)
    except NotFound:
        return _void()
    said = _words()
    return _page(said.say("silence-title"), [said.say("silenced")])


def _sealed(purpose: str) -> str:
    """Give the id in the link.

    Raises:
        NotFound: the link is not ours.
    """
    found = here().access.seals.open(purpose, flask.request.args.get("token", ""))
    if found is None:
        raise NotFound("this link is not ours")
    return found


def _ways_on(site: SiteView, confirmation_id: str, confirmed: Confirmed) -> tuple[str, str]:
    """Give the links that make a browser known: to the site's page, and to ours without scripts.

    The site's page gets a code behind the `#`, which browsers keep to themselves, and changes it
    for the author token.
    """
    door, now = here().access.seals, utc_now()
    token = door.author(site.id, confirmed.email, now)
    plain = flask.url_for(
        "pages.thread.show",
        slug=site.slug,
        page_url=confirmed.page_url,
        author=token,
        lang=flask.request.args.get("lang"),
    )
    code = door.code(confirmation_id, now)
    return f"{confirmed.page_url}#hamgate-author-{site.slug}={code}", plain


def _words() -> Words:
    return letters.languages()[letters.nearest(words.chosen().language)]


def _void() -> Response:
    said = _words()
    return _page(said.say("title"), [said.say("void")], status=404)


def _page(heading: str, paragraphs: list[str], *, status: int = 200, **more: Any) -> Response:
    return frame.render(
        "confirming.html",
        status,
        heading=heading,
        paragraphs=paragraphs,
        tell=_words().say,
        here=flask.request.full_path,
        **more,
    )
