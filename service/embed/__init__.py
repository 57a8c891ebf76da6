"""Comments for readers: scripts that put them on other people's pages, and pages without scripts.

The scripts are written in `source/`, shipped as `built/` (see `build.mjs`), in the languages of
`messages/`. The one rule of theirs: what is served is the same for everybody, so every page and
every cache may keep it.
"""

from importlib import resources

import flask
from flask import Response

from service.embed import confirming, feeds, frame, own, thread
from service.embed.assets import Asset, Bundle
from service.embed.words import EXTENSION, bundle
from service.serving.here import here

DEMO = "demo"
_SOON_SECONDS = 300
_FOREVER = "public, max-age=31536000, immutable"
_CSP = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = flask.Blueprint("embed", __name__, template_folder="templates")
pages = flask.Blueprint("pages", __name__, url_prefix="/sites")
for _module in (thread, own, confirming, feeds):
    pages.register_blueprint(_module.blueprint)
frame.protect(pages)


def register(app: flask.Flask) -> None:
    """Add the scripts and the demo page to an application."""
    app.extensions[EXTENSION] = Bundle.read(resources.files(__name__))
    app.register_blueprint(blueprint)
    app.register_blueprint(pages)


@blueprint.get("/embed.js")
def embed() -> Response:
    """Give the script that a page includes for comments."""
    return _serve(bundle().assets["embed.js"])


@blueprint.get("/count.js")
def count() -> Response:
    """Give the script that a page includes for numbers of comments."""
    return _serve(bundle().assets["count.js"])


@blueprint.get("/embed/<version>/<name>")
def asset(version: str, name: str) -> Response:
    """Give what `embed.js` fetches later; under its own version it never changes."""
    found = bundle().assets.get(name)
    if found is None:
        flask.abort(404)
    return _serve(found, version)


@blueprint.get("/embed/<version>/messages/<language>.json")
def messages(version: str, language: str) -> Response:
    """Give the messages in the language asked for, in a broader one, or in English."""
    return _serve(bundle().messages(language), version)


@blueprint.get("/demo")
def demo() -> Response:
    """Show all of it on a page as strict as any."""
    here().access.site(DEMO)
    files = bundle()
    page = flask.render_template(
        "demo.html",
        site=DEMO,
        url=here().settings.public_url,
        version=files.version,
        languages=files.languages,
    )
    answer = Response(page, mimetype="text/html")
    answer.headers["Content-Security-Policy"] = _CSP
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _serve(found: Asset, version: str | None = None) -> Response:
    request = flask.request
    packed = request.accept_encodings["gzip"] > 0
    answer = Response(found.packed if packed else found.content, mimetype=found.media_type)
    if packed:
        answer.content_encoding = "gzip"
    current = version == bundle().version
    answer.headers["Cache-Control"] = _FOREVER if current else f"public, max-age={_SOON_SECONDS}"
    answer.headers["Vary"] = "Accept-Encoding"
    # Pages of every origin import these, also those that isolate themselves.
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    answer.set_etag(found.digest + ("-gzip" if packed else ""))
    answer.make_conditional(request)
    return answer
