"""The OpenAPI 3.1 document, from the routes and the schemas that validate.

The one rule: nothing is described by hand twice. A route says in `@operation` what it takes and
gives; the shapes come from pydantic, the words from the docstring. A tool that validates and
documents at once was weighed (spectree, flask-openapi): ours reads bodies more strictly than
they can, and what is left of them is this page.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar

import flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.api import schemas

Model = type[BaseModel]
F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "hamgate_operation"
_PARAMETERS = {
    "site": "The site's slug, such as `demo`.",
    "comment_id": "The comment's id, `cmt_…`.",
    "endpoint_id": "The endpoint's id, `whe_…`.",
    "delivery_id": "The delivery's id, `dlv_…`.",
    "act_id": "What was done in one go, `act_…`, as each decision names it.",
}
_HTTP = {
    200: "OK", 201: "Decided or recorded", 202: "Accepted", 204: "Done", 400: "Malformed",
    401: "Unauthenticated", 403: "Forbidden or closed", 404: "Not found", 409: "Conflict",
    413: "Too large", 414: "URL too long", 415: "Unsupported", 422: "Invalid",
    429: "Too many requests", 503: "Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """What one route takes and gives."""

    summary: str
    who: str
    answers: Mapping[int, Model | Sequence[Model]]
    problems: Sequence[int]
    body: Model | None
    query: Model | Mapping[str, str] | None
    headers: Mapping[str, str] = field(default_factory=dict)

    def models(self) -> set[Model]:
        """Give all schemas it names, but for the query's."""
        found = {model for given in self.answers.values() for model in _several(given)}
        return found | ({self.body} if self.body else set())


def operation(
    summary: str,
    *,
    who: str,
    answers: Mapping[int, Model | Sequence[Model]],
    problems: Sequence[int] = (),
    body: Model | None = None,
    query: Model | Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Describe a route; its docstring is the rest of the description."""

    def mark(view: F) -> F:
        described = Operation(summary, who, answers, problems, body, query, headers or {})
        setattr(view, _ATTRIBUTE, described)
        return view

    return mark


def operations(app: flask.Flask) -> list[tuple[str, str, str, Operation]]:
    """Give path, method, full docstring and description of every described route, in order."""
    found: list[tuple[str, str, str, Operation]] = []
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        described = getattr(view, _ATTRIBUTE, None)
        if described is not None:
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            found.extend(
                (path, method.lower(), view.__doc__ or "", described)
                for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
            )
    return sorted(found, key=lambda entry: entry[:2])


@functools.cache
def document(app: flask.Flask) -> dict[str, Any]:
    """Give the whole document."""
    described = operations(app)
    models = {model for *_, one in described for model in one.models()} | {schemas.Problem}
    _, definitions = models_json_schema(
        sorted(((m, "validation") for m in models), key=lambda pair: pair[0].__name__),
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for path, method, docstring, one in described:
        paths.setdefault(path, {})[method] = _describe(path, method, docstring, one)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Hamgate",
            "version": version("hamgate"),
            "summary": "Comments go in, decisions come out.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key, hg_…"},
                "receipt": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "receipt",
                    "description": "An author's receipt; also `Authorization: Receipt rcp_…`.",
                },
            },
        },
    }


def _describe(path: str, method: str, docstring: str, one: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, given in one.answers.items():
        refs = [_ref(model) for model in _several(given)]
        schema = refs[0] if len(refs) == 1 else {"anyOf": refs}
        responses[str(status)] = {"description": _HTTP[status]}
        if refs:
            responses[str(status)]["content"] = {"application/json": {"schema": schema}}
    for status in one.problems:
        responses[str(status)] = {
            "description": _HTTP[status],
            "content": {"application/problem+json": {"schema": _ref(schemas.Problem)}},
        }
    result: dict[str, Any] = {
        "operationId": f"{method}{re.sub(r'[^a-zA-Z]+', '_', path).rstrip('_')}",
        "summary": one.summary,
        "description": f"{_dedent(docstring)}\n\nWho may: {one.who}",
        "parameters": [*_path_parameters(path), *_query(one), *_headers(one)],
        "responses": responses,
        "security": _security(one.who),
    }
    if one.body is not None:
        result["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _ref(one.body)}},
        }
    return result


def _security(who: str) -> list[dict[str, list[str]]]:
    accepted: list[dict[str, list[str]]] = []
    if "key" in who:
        accepted.append({"key": []})
    if "receipt" in who.lower():
        accepted.append({"receipt": []})
    if "browser" in who or not accepted:
        accepted.append({})
    return accepted


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PARAMETERS[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    if isinstance(one.query, Mapping):
        return [
            {"name": name, "in": "query", "description": words, "schema": {"type": "string"}}
            for name, words in one.query.items()
        ]
    schema = one.query.model_json_schema(ref_template="#/components/schemas/{model}")
    return [
        {
            "name": name,
            "in": "query",
            "description": shape.pop("description", ""),
            "required": name in schema.get("required", []),
            "schema": shape,
        }
        for name, shape in schema["properties"].items()
    ]


def _headers(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": words, "schema": {"type": "string"}}
        for name, words in one.headers.items()
    ]


def _several(given: Model | Sequence[Model]) -> Sequence[Model]:
    return [given] if isinstance(given, type) else given


def _ref(model: Model) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _dedent(docstring: str) -> str:
    return re.sub(r"\n[ \t]+", "\n", docstring).strip()
