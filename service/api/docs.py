"""The OpenAPI document and a page to read it, without any asset from elsewhere."""

import json
import re
from typing import Any

import flask
from flask import Response
from markupsafe import Markup, escape

from service.api import openapi
from service.pure.events import MEANINGS
from service.serving.here import here
from service.serving.problems import TABLE

blueprint = flask.Blueprint(
    "docs",
    __name__,
    template_folder="templates",
    static_folder="static",
    static_url_path="/assets/docs",
)

_CSP = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@blueprint.before_request
def _admit() -> None:
    here().limits.hit_other()


@blueprint.after_request
def _strict(answer: Response) -> Response:
    answer.headers["Content-Security-Policy"] = _CSP
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@blueprint.get("/openapi.json")
def description() -> Response:
    """Give the OpenAPI 3.1 document."""
    body = json.dumps(openapi.document(flask.current_app), indent=1, ensure_ascii=False)
    return Response(body, mimetype="application/json")


@blueprint.get("/")
def index() -> str:
    """Say what this server is and where to go on."""
    return flask.render_template("index.html", url=here().settings.public_url)


@blueprint.get("/docs")
def page() -> str:
    """Show the API to a reader."""
    document = openapi.document(flask.current_app)
    return flask.render_template(
        "docs.html",
        document=document,
        operations=[
            {"path": path, "method": method, **operation}
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ],
        events=MEANINGS,
        problems=sorted(TABLE.values(), key=lambda entry: entry[1]),
        fields=_fields,
        words=_words,
        url=here().settings.public_url,
    )


def _words(text: str) -> Markup:
    """Give a text with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def _fields(reference: dict[str, Any]) -> list[dict[str, Any]]:
    """Give name, type, whether required, and description of each field of a schema."""
    schemas = openapi.document(flask.current_app)["components"]["schemas"]
    schema = schemas[reference["$ref"].rpartition("/")[2]]
    return [
        {
            "name": name,
            "type": _type(shape),
            "required": name in schema.get("required", []),
            "description": shape.get("description", ""),
        }
        for name, shape in schema.get("properties", {}).items()
    ]


def _type(shape: dict[str, Any]) -> str:
    if "$ref" in shape:
        return str(shape["$ref"].rpartition("/")[2])
    if "anyOf" in shape:
        return " or ".join(_type(part) for part in shape["anyOf"])
    if "enum" in shape:
        return " | ".join(map(str, shape["enum"]))
    if shape.get("type") == "array":
        return f"list of {_type(shape['items'])}"
    return str(shape.get("format") or shape.get("type") or "any")
