"""Signing in and out."""

import flask
from flask import Blueprint
from werkzeug.wrappers import Response

from service.base.errors import FieldError, Invalid, RateLimited, Unauthenticated
from service.core import moderators
from service.dashboard import forms, session
from service.serving import access
from service.serving.here import here

blueprint = Blueprint("signing", __name__)


@blueprint.get("/sign-in")
def form() -> str | Response:
    """Show the form, or go on where somebody has signed in already."""
    if session.current() is not None:
        return flask.redirect(target(flask.request.args.get("back")), 303)
    back = session.own_path(flask.request.args.get("back"))
    return flask.render_template("sign_in.html", faults={}, email="", back=back)


@blueprint.post("/sign-in")
def sign_in() -> Response:
    """Sign in with address and password; one answer for whatever is not right."""
    email, password = forms.field("email"), forms.field("password")
    back = session.own_path(forms.field("back"))
    try:
        cookie = moderators.sign_in(
            here().database,
            email,
            password,
            network=network(),
            device=session.device(email),
            user_agent=session.user_agent(),
        )
    except RateLimited as error:
        return forms.again("sign_in.html", error, email=email, back=back)
    except Unauthenticated as error:
        fault = Invalid([FieldError("", str(error))])
        return forms.again("sign_in.html", fault, email=email, back=back)
    return session.start(flask.redirect(target(back), 303), cookie, email)


@blueprint.post("/sign-out")
def sign_out() -> Response:
    """End this session."""
    who = session.current()
    if who is not None:
        with here().database.transaction() as ledger:
            moderators.end_session(ledger, who.id, who.session_id)
    return session.end(_to_form())


@blueprint.post("/sign-out-everywhere")
def sign_out_everywhere() -> Response:
    """End all sessions of who is signed in, this one too."""
    with here().database.transaction() as ledger:
        moderators.sign_out_everywhere(ledger, session.person().id)
    return session.end(_to_form())


def network() -> str:
    """Give what stands for the client's address when tries are counted."""
    return access.limit_subject(here().access.client_address())


def _to_form() -> Response:
    return flask.redirect(flask.url_for("dashboard.signing.form"), 303)


def target(back: str | None) -> str:
    """Give where a sign-in leads."""
    return session.own_path(back) or flask.url_for("dashboard.landing.show")
