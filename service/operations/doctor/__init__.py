"""`hamgate doctor`: looks at everything Hamgate stands on, and says what to do.

The one rule: a fault it is there to find is a line of its report, never a traceback. It changes
nothing; what it writes to see whether it can, it takes back.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict

import click
import redis
from sqlalchemy.exc import SQLAlchemyError

from service.base.config import Settings
from service.base.errors import HamgateError
from service.operations.doctor import around, kept
from service.operations.doctor.findings import Finding, Grade

__all__ = ["Finding", "Grade", "examine", "run"]


def run(settings: Settings, *, as_json: bool = False) -> int:
    """Print a line for each check.

    Args:
        settings: what is looked at.
        as_json: print one JSON object instead: `status` and `checks`.

    Returns:
        The exit code: 1 if a check failed, else 0; warnings do not count.
    """
    with _quiet():
        found = examine(settings)
    grades = {finding.grade for finding in found}
    worst = next(grade for grade in (Grade.FAIL, Grade.WARN, Grade.OK) if grade in grades)
    if as_json:
        checks = [asdict(finding) for finding in found]
        click.echo(json.dumps({"status": worst, "checks": checks}, indent=2, ensure_ascii=False))
    else:
        for finding in found:
            click.echo(_line(finding))
    return 1 if worst is Grade.FAIL else 0


def examine(settings: Settings) -> list[Finding]:
    """Make all checks that can be made; those on a database that does not answer are left out."""
    found = [
        _guarded("disk", around.look_at_disk, settings),
        _guarded("database", kept.look_at_database, settings),
    ]
    if found[-1].grade is not Grade.FAIL:
        found.append(_guarded("clock", kept.look_at_clock, settings))
        found.append(_guarded("sites", kept.look_at_sites, settings))
        found.append(_guarded("learning", kept.look_at_learning, settings))
        found.append(_guarded("privacy", kept.look_at_privacy, settings))
        found.append(_guarded("webhooks", kept.look_at_webhooks, settings))
    found.append(_guarded("redis", around.look_at_redis, settings))
    found.append(_guarded("model", around.look_at_model, settings))
    if found[1].grade is not Grade.FAIL:
        found.append(_guarded("workers", around.look_at_workers, settings))
    found.append(_guarded("server", around.look_at_server, settings))
    if settings.relay is not None:
        found.append(_guarded("mail", around.look_at_mail, settings))
    if settings.oidc_issuer is not None:
        found.append(_guarded("sign-on", around.look_at_sign_on, settings))
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep out of the log what the report will say."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _guarded(name: str, check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except (HamgateError, SQLAlchemyError, redis.RedisError, OSError) as error:
        message = " ".join(str(error).partition("\n")[0].split())
        remedies = {
            "database": "start it, or correct HAMGATE_HOME"
            if settings.embedded_database
            else "start it, or correct DATABASE_URL"
        }
        return Finding(name, Grade.FAIL, message, remedies.get(name, "see the other lines"))


_COLOURS = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "red"}


def _line(finding: Finding) -> str:
    grade = click.style(f"{finding.grade:4}", fg=_COLOURS[finding.grade], bold=True)
    line = f"{grade}  {finding.check:8}  {finding.message}"
    return line + (f"\n                → {finding.remedy}" if finding.remedy else "")
