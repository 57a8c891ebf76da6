"""One-time links: a first sign-in, an invitation, a new password.

The one rule: looking at a link does not use it, since mail scanners and chat previews look too.
"""

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import Invalid
from service.core import moderators
from service.core.moderators import FIRST_OWNER, LEAST_CHARACTERS, Link, Purpose
from service.dashboard import forms, session
from service.serving.here import here

blueprint = Blueprint("links", __name__)


@blueprint.get("/link")
def show() -> str:
    """Show what a link is for, and the form that uses it."""
    token = flask.request.args.get("token", "")
    return flask.render_template("link.html", faults={}, **_shown(token, _look(token)))


@blueprint.post("/link")
def use() -> Response:
    """Use a link: set a password and sign in, or join a site as who one is."""
    token = forms.field("token")
    link = _look(token)
    shown = _shown(token, link)
    if shown["joins"]:
        cookie = moderators.join(
            here().database, token, session.person(), user_agent=session.user_agent()
        )
        return _signed_in(cookie, link.email)
    email = forms.field("email") if shown["asks_email"] else link.email
    try:
        cookie = moderators.accept(
            here().database,
            token,
            password=forms.field("password"),
            name=forms.field("name"),
            email=email,
            user_agent=session.user_agent(),
        )
    except Invalid as error:
        typed = {"email": email, "name": forms.field("name")}
        return forms.again("link.html", error, **{**shown, **typed})
    return _signed_in(cookie, email)


def _look(token: str) -> Link:
    with here().database.reading() as ledger:
        return moderators.look(ledger, token)


def _shown(token: str, link: Link) -> dict[str, object]:
    who = session.current()
    # Who has an account joins as who they are; a link alone gives nobody an account in use.
    joins = link.purpose is Purpose.INVITATION and link.in_use
    return {
        "token": token,
        "link": link,
        "joins": joins,
        "is_theirs": who is not None and who.id == link.moderator_id,
        "asks_email": link.email == FIRST_OWNER,
        "email": "" if link.email == FIRST_OWNER else link.email,
        "name": "" if link.purpose is not Purpose.RESET else link.name,
        "least": LEAST_CHARACTERS,
        "back": flask.url_for("dashboard.links.show", token=token),
    }


def _signed_in(cookie: str, email: str) -> Response:
    answer = flask.redirect(flask.url_for("dashboard.landing.show"), 303)
    return session.start(answer, cookie, email)
