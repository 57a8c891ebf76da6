"""The history page: who changed what; undone from here, and taken along as a file."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from functools import partial

import flask
from flask import Blueprint, Response

from service.base.errors import NotFound
from service.core import audit, moderators
from service.core.audit import Entry
from service.core.moderators import Role
from service.dashboard import outcomes
from service.dashboard.session import require
from service.serving.here import here

blueprint = Blueprint("history", __name__)

_COLUMNS = tuple(field.name for field in dataclasses.fields(Entry))
_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


@blueprint.get("/sites/<slug>/history")
def show(slug: str) -> str:
    """Show people's decisions, or all, and the changes of settings."""
    site, _ = require(slug, Role.VIEWER)
    people_only = "all" not in flask.request.args
    before = flask.request.args.get("before")
    with here().database.reading() as session:
        rows = audit.decisions(session, site.id, people_only=people_only, before=before)
        changed = audit.settings(session, site.id) if before is None else []
        called = moderators.names(session, _actors(rows + changed))
    return flask.render_template(
        "history.html",
        rows=rows,
        settings=changed,
        names=called,
        setting=partial(_setting, called),
        people_only=people_only,
        done=outcomes.done(),
        more=rows[-1].id if len(rows) == audit.PAGE else None,
    )


def _actors(entries: list[Entry]) -> set[str]:
    """Give everybody that is named: who did it, and who it was done to."""
    return {word for one in entries for word in (one.actor, *one.subject.split())}


def _setting(called: Mapping[str, str], setting: str) -> str:
    """Give a setting's name for people: `max links`, `role of Ann`, `key key_01…`."""
    kind, _, of = setting.partition(" ")
    return " ".join([kind.replace("_", " "), *(called.get(word, word) for word in of.split())])


@blueprint.get("/sites/<slug>/history.<kind>")
def export(slug: str, kind: str) -> Response:
    """Give all of it as a file, row by row."""
    site, _ = require(slug, Role.OWNER)
    if kind not in _TYPES:
        raise NotFound("the history comes as history.csv or history.jsonl")
    write = _csv if kind == "csv" else _jsonl
    answer = Response(flask.stream_with_context(write(_entries(site.id))), mimetype=_TYPES[kind])
    answer.headers["Content-Disposition"] = f'attachment; filename="{slug}-history.{kind}"'
    return answer


def _entries(site_id: str) -> Iterator[Entry]:
    with here().database.reading() as session:
        yield from audit.everything(session, site_id)


def _jsonl(entries: Iterator[Entry]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps(dataclasses.asdict(entry), default=str, ensure_ascii=False) + "\n"


def _csv(entries: Iterator[Entry]) -> Iterator[str]:
    yield _line(_COLUMNS)
    for entry in entries:
        values = dataclasses.astuple(entry)
        yield _line(tuple(_cell(value) for value in values))


def _cell(value: object) -> str:
    """Write a value so that no spreadsheet takes a stranger's text for a formula."""
    if value is None:
        return ""
    written = value if isinstance(value, str) else json.dumps(value, default=str)
    return f"'{written}" if written.startswith(("=", "+", "-", "@", "\t", "\r")) else written


def _line(values: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(values)
    return buffer.getvalue()
