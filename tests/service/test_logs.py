"""Log lines: one event, one line, in both formats."""

import json
import logging

from service import logs

_HOSTILE = 'x\r\n{"level": "error"}\x00\x1b[31m\u2028\u0085\x7f'


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("service.web").makeRecord(
        "service.web", logging.INFO, "", 0, message, (), None, extra=logs.fields(**extra)
    )
    made.user = _HOSTILE
    return made


def test_a_line_stays_one_line_whatever_was_sent() -> None:
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        line = formatter.format(record(_HOSTILE, comment=_HOSTILE))

        assert len(line.splitlines()) == 1
        assert all(character.isprintable() for character in line)


def test_json_has_every_field_by_its_name_and_none_without_a_value() -> None:
    line = json.loads(logs.JsonFormatter().format(record("done", comment="cmt_1", ms=3, site=None)))

    assert (line["message"], line["comment"], line["ms"]) == ("done", "cmt_1", 3)
    assert "site" not in line
    assert line["user"] == _HOSTILE


def test_what_the_message_tells_is_not_told_twice_to_people() -> None:
    assert "cmt_1" not in logs.TextFormatter().format(record("done", comment="cmt_1"))
