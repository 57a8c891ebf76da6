"""The words of a page, in the reader's language: the messages that the widget has as well."""

import json
from dataclasses import dataclass
from typing import Any

import flask
from werkzeug.datastructures import LanguageAccept

from service.embed.assets import FALLBACK, Bundle

EXTENSION = "hamgate_embed"


def bundle() -> Bundle:
    """Give the files of the current application's widget."""
    found: Bundle = flask.current_app.extensions[EXTENSION]
    return found


@dataclass(frozen=True, slots=True)
class Words:
    """The messages of one language."""

    messages: dict[str, Any]

    @property
    def language(self) -> str:
        """Its tag (BCP 47)."""
        return str(self.messages["language"])

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return str(self.messages["direction"])

    def say(self, key: str, **values: object) -> str:
        """Give a message; empty if there is none of that name."""
        found = self.messages.get(key, "")
        text = str(found["other"] if isinstance(found, dict) else found)
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    def fault(self, field: str, message: str) -> str:
        """Give what is wrong with a field: the server's own words are English."""
        return message if self.language == FALLBACK else self.say(f"fault-{field}") or message


def chosen() -> Words:
    """Give the words in the language that `?lang=` names, or that the browser prefers."""
    wanted = flask.request.args.get("lang")
    if not wanted:
        wanted = _preferred(flask.request.accept_languages)
    return Words(json.loads(bundle().messages(wanted).content))


def _preferred(accepted: LanguageAccept) -> str:
    return accepted.best_match(list(bundle().languages), FALLBACK) or FALLBACK
