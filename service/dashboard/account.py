"""One's own account: name, password, and where one is signed in."""

from typing import Any

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid, RateLimited
from service.core import moderators
from service.core.moderators import LEAST_CHARACTERS
from service.dashboard import forms, session
from service.dashboard.signing import network
from service.serving.here import here

blueprint = Blueprint("account", __name__)
TEMPLATE = "account.html"
_SAID = {
    "name": "Your name was changed.",
    "password": "Your password was changed, and you were signed out everywhere else.",
    "session": "That session was ended.",
    "linked": "From now on it opens your account.",
    "unlinked": "It opens your account no longer, and you were signed out everywhere else.",
}


@blueprint.get("/account")
def show() -> str:
    """Show name, password form and sessions."""
    said = _SAID.get(flask.request.args.get("said", ""))
    return flask.render_template(TEMPLATE, faults={}, said=said, **shown())


@blueprint.post("/account/name")
def rename() -> Response:
    """Change one's name."""
    who, name = session.person(), forms.field("name")
    try:
        with here().database.transaction() as ledger:
            moderators.rename(ledger, who.id, name)
    except Invalid as error:
        return forms.again(TEMPLATE, error, **{**shown(), "name": name})
    return back("name")


@blueprint.post("/account/password")
def change_password() -> Response:
    """Change one's password; this browser gets a new session and all others lose theirs."""
    who = session.person()
    try:
        cookie = moderators.change_password(
            here().database,
            who,
            forms.field("current"),
            forms.field("password"),
            network=network(),
            user_agent=session.user_agent(),
        )
    except (Invalid, RateLimited) as error:
        return forms.again(TEMPLATE, error, **shown())
    return session.start(back("password"), cookie, who.email)


@blueprint.post("/account/sessions/<session_id>/end")
def end_session(session_id: str) -> Response:
    """End one of one's sessions."""
    who = session.person()
    if session_id == who.session_id:
        raise Invalid([FieldError("", "This is the session you are in; sign out instead.")])
    with here().database.transaction() as ledger:
        moderators.end_session(ledger, who.id, session_id)
    return back("session")


def shown() -> dict[str, Any]:
    """Give what the page shows of who is signed in."""
    who = session.person()
    issuer = here().settings.oidc_issuer
    with here().database.reading() as ledger:
        found = moderators.sessions_of(ledger, who.id)
        linked_at = issuer and moderators.linked_at(ledger, who.id, issuer)
        has_password = moderators.find(ledger, who.email).has_password
    return {
        "name": who.name,
        "sessions": found,
        "least": LEAST_CHARACTERS,
        "linked_at": linked_at,
        "has_password": has_password,
    }


def back(said: str) -> Response:
    """Lead back to the page, which says what was done."""
    return flask.redirect(flask.url_for("dashboard.account.show", said=said), 303)
