"""What the rules beside this have to find (ruleid) and to leave alone (ok); nothing runs it."""

import importlib
import logging
import re
import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import flask
import sqlalchemy
from markupsafe import Markup, escape
from sqlalchemy.orm import Session

from service.dashboard import signing

log = logging.getLogger(__name__)


def markup() -> list[str]:
    name = flask.request.args["name"]
    # ruleid: strangers-write-no-markup
    bad = Markup(f"<b>{name}</b>")
    # ruleid: strangers-write-no-markup
    worse = flask.render_template_string("Hello " + name)
    # ok: strangers-write-no-markup
    good = Markup(f"<b>{escape(name)}</b>")
    return [bad, worse, good]


def sql(session: Session) -> None:
    order = flask.request.args.get("order", "id")
    statement = f"SELECT 1 ORDER BY {order}"
    # ruleid: strangers-write-no-sql
    session.execute(sqlalchemy.text(statement))
    # ok: strangers-write-no-sql
    session.execute(sqlalchemy.text("SELECT :id"), {"id": order})
    # ok: strangers-write-no-sql
    session.execute(sqlalchemy.text(f"SELECT {int(order)}"))


def files() -> flask.Response:
    wanted = flask.request.args["file"]
    # ruleid: strangers-name-no-file
    importlib.import_module(wanted)
    # ruleid: strangers-name-no-file
    subprocess.run(["cat", wanted], check=True)
    # ok: strangers-name-no-file
    subprocess.run(["cat", "README.md"], check=True)
    # ruleid: strangers-name-no-file
    return flask.send_file(Path("pictures") / wanted)


def ways(shown: bool) -> object:
    back = flask.request.form["back"]
    if shown:
        # ruleid: strangers-lead-nowhere-else
        return flask.redirect(back, 303)
    if not back:
        # ok: strangers-lead-nowhere-else
        return flask.redirect(f"/search?{urlencode({'back': back})}")
    # ok: strangers-lead-nowhere-else
    return flask.redirect(signing.target(back), 303)


def patterns(text: str) -> bool:
    wanted = flask.request.args["pattern"]
    # ruleid: strangers-choose-no-pattern
    found = re.search(wanted, text)
    # ok: strangers-choose-no-pattern
    return bool(found or re.search(re.escape(wanted), text))


def lines(token: str, token_count: int) -> None:
    # ruleid: secrets-stay-out-of-the-log
    log.info("somebody came with %s", token)
    # ok: secrets-stay-out-of-the-log
    log.info("%d tokens", token_count)


def certificates() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # ruleid: no-certificate-goes-unchecked
    context.check_hostname = False
    # ruleid: no-certificate-goes-unchecked
    context.verify_mode = ssl.CERT_NONE
    return context
