"""`hamgate doctor`: looks at everything Hamgate stands on, and says what to do.

The one rule: a fault it is there to find is a line of its report, never a traceback. It changes
nothing; what it writes to see whether it can, it takes back.
"""

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import click
import redis
from sqlalchemy import make_url, select
from sqlalchemy.exc import SQLAlchemyError

from service import (
    jobs,
    labels,
    loopback,
    mail,
    moderation,
    retention,
    schema,
    sites,
)
from service.config import Settings
from service.confirmations import sending
from service.db import Database, db_now, new_id, utc_now
from service.errors import HamgateError, ProviderFault
from service.jobs import Doorbell, Job
from service.mail import MailFault
from service.scoring import Content, Scorer

_MB = 1_000_000
_DISK_FAIL_BYTES = 200 * _MB
_DISK_WARN_BYTES = 1000 * _MB
_CLOCK_WARN_SECONDS = 1.0
_CLOCK_FAIL_SECONDS = 30.0
# BLMOVE, by which RQ takes a job without ever having it nowhere, came with Redis 6.2.
_REDIS_OLDEST = (6, 2)
_MEMORY_WARN_SHARE = 0.9
# A worker hears the bell within milliseconds; one that drains a backlog may take its whole shift.
_HEARS_WITHIN_SECONDS = 3.0
_OVERDUE_WARN_SECONDS = 5.0
_OVERDUE_FAIL_SECONDS = 15.0
_MAIL_WARN_SECONDS = 600.0
_SAMPLE = Content(body="Thank you, the second step was what I had missed.", author_name="Ada")


class Grade(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at.
        grade: how it is.
        message: what was found, for people.
        remedy: what to do about it, a command where there is one; empty if all is well.
    """

    check: str
    grade: Grade
    message: str
    remedy: str = ""


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
    found = [_guarded("disk", _disk, settings), _guarded("database", _database, settings)]
    if found[-1].grade is not Grade.FAIL:
        found.append(_guarded("clock", _clock, settings))
        found.append(_guarded("sites", _sites, settings))
        found.append(_guarded("learning", _learning, settings))
        found.append(_guarded("privacy", _privacy, settings))
    found.append(_guarded("redis", _redis, settings))
    found.append(_guarded("model", _model, settings))
    if found[1].grade is not Grade.FAIL:
        found.append(_guarded("workers", _workers, settings))
    found.append(_guarded("server", _server, settings))
    if settings.relay is not None:
        found.append(_guarded("mail", _mail, settings))
    if settings.oidc_issuer is not None:
        found.append(_guarded("sign-on", _sign_on, settings))
    return found


def _disk(settings: Settings) -> Finding:
    home = settings.home
    if not home.is_dir():
        remedy = "hamgate up" if settings.embedded_database else f"mkdir -p {home}"
        return Finding("disk", Grade.FAIL, f"{home} is not there", remedy)
    if not os.access(home, os.W_OK | os.X_OK):
        remedy = f"chown -R {os.getuid()} {home}, or set HAMGATE_HOME to another folder"
        return Finding("disk", Grade.FAIL, f"{home} cannot be written", remedy)
    free = shutil.disk_usage(home).free
    grade = _grade(free <= _DISK_WARN_BYTES, free <= _DISK_FAIL_BYTES)
    remedy = "" if grade is Grade.OK else "make room, or move HAMGATE_HOME to a larger disk"
    return Finding("disk", grade, f"{free / _MB:,.0f} MB free in {home}", remedy)


def _database(settings: Settings) -> Finding:
    where = make_url(settings.sqlalchemy_url).render_as_string(hide_password=True)
    if settings.embedded_database and not settings.database_file.exists():
        return Finding("database", Grade.FAIL, f"none yet at {where}", "hamgate migrate")
    if not schema.is_current(settings):
        message = f"{where} is not at this version's revision"
        return Finding("database", Grade.FAIL, message, "hamgate migrate")
    with (
        _ledger(settings) as database,
        contextlib.suppress(_TakenBackError),
        database.transaction() as session,
    ):
        sites.create(session, f"doctor-{new_id('x')[2:]}", origins=[])
        raise _TakenBackError
    return Finding("database", Grade.OK, f"{where} is at the newest revision and can be written")


def _clock(settings: Settings) -> Finding:
    with _ledger(settings) as database, database.reading() as session:
        session.execute(select(1))  # the connection is open before the time is taken
        before = utc_now()
        theirs = session.execute(select(db_now())).scalar_one()
        after = utc_now()
    # Their time lies between two of ours: what is outside of these is off for certain.
    off = max(before - theirs, theirs - after, timedelta()).total_seconds()
    grade = _grade(off > _CLOCK_WARN_SECONDS, off > _CLOCK_FAIL_SECONDS)
    if grade is Grade.OK:
        return Finding("clock", grade, "this machine and the database agree")
    message = f"this machine and the database are {off:.1f} s apart"
    return Finding("clock", grade, message, "timedatectl set-ntp true, on both machines")


def _sites(settings: Settings) -> Finding:
    with _ledger(settings) as database, database.reading() as session:
        slugs = [site.slug for site in sites.listing(session)]
    if not slugs:
        create = "hamgate site create SLUG --origin https://example.org"
        return Finding("sites", Grade.WARN, "there is none", create)
    few = ", ".join(slugs[:5]) + (", …" if len(slugs) > 5 else "")
    return Finding("sites", Grade.OK, f"{len(slugs)}: {few}")


def _learning(settings: Settings) -> Finding:
    """Look for labels that wait for a second opinion."""
    with _ledger(settings) as database, database.reading() as session:
        found = {
            site.slug: labels.of_site(session, site.id, settings.train_burst)
            for site in sites.listing(session)
        }
    trusted = sum(len(one.trusted) for one in found.values())
    for slug, one in found.items():
        for actor, count in one.suspects.most_common(1):
            message = f"{count} labels of {actor} on {slug} are in quarantine: too many at once"
            remedy = f"look at them, then hamgate model release {slug} {actor}"
            return Finding("learning", Grade.WARN, message, remedy)
    return Finding("learning", Grade.OK, f"{trusted} labels, none in quarantine")


def _privacy(settings: Settings) -> Finding:
    """Say how long what is kept, and whether the sweeper keeps up with forgetting."""
    with _ledger(settings) as database, database.reading() as session:
        since = retention.overdue(session, settings)
    if since is not None:
        message = (
            f"addresses since {since:%Y-%m-%d} are whole still; the sweeper works through them"
        )
        return Finding("privacy", Grade.WARN, message, "hamgate worker, whose sweeper forgets")
    message = (
        f"addresses are whole for {settings.keep_address_hours} h, spam is kept for"
        f" {settings.keep_spam_days} days, what was deleted for {settings.keep_deleted_days}"
    )
    return Finding("privacy", Grade.OK, message)


def _redis(settings: Settings) -> Finding:
    start = "hamgate up" if settings.embedded_redis else "start it, or correct REDIS_URL"
    client = jobs.connect(settings)
    try:
        told: dict[str, Any] = client.info()
    except redis.AuthenticationError as error:
        return Finding("redis", Grade.FAIL, f"it refuses us: {error}", "correct REDIS_URL")
    except redis.RedisError as error:
        message = f"no answer ({error}); the sweeper decides comments without it, more slowly"
        return Finding("redis", Grade.FAIL, message, start)
    finally:
        client.close()
    name = f"{told.get('server_name', 'redis').title()} " + str(
        told.get("valkey_version") or told.get("redis_version")
    )
    version = tuple(int(part) for part in str(told.get("redis_version", "0")).split(".")[:2])
    if version < _REDIS_OLDEST:
        return Finding("redis", Grade.FAIL, f"{name} is too old", "install 6.2 or newer, or Valkey")
    policy = told.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        message = f"{name} may drop our keys when it is full (maxmemory-policy {policy})"
        remedy = "redis-cli CONFIG SET maxmemory-policy noeviction, and in its configuration"
        return Finding("redis", Grade.WARN, message, remedy)
    used, most = int(told.get("used_memory", 0)), int(told.get("maxmemory", 0))
    if most and used > most * _MEMORY_WARN_SHARE:
        message = f"{name} is nearly full: {used / _MB:,.0f} of {most / _MB:,.0f} MB"
        return Finding("redis", Grade.WARN, message, "redis-cli CONFIG SET maxmemory, to more")
    return Finding("redis", Grade.OK, f"{name}, {used / _MB:,.1f} MB used, drops nothing")


def _model(settings: Settings) -> Finding:
    scorer = Scorer(settings.model)
    remedy = (
        "pip install --force-reinstall hamgate"
        if settings.model is None
        else "restore it, or unset HAMGATE_MODEL to use the one in the package"
    )
    held = "every comment is held for a person"
    if scorer.model is None:
        return Finding("model", Grade.FAIL, f"{scorer.fault}; {held}", remedy)
    if scorer.score([_SAMPLE]) == [None]:
        message = f"{scorer.model.version} gives no verdict; {held}"
        return Finding("model", Grade.FAIL, message, remedy)
    return Finding("model", Grade.OK, f"{scorer.model.version} is whole and gives verdicts")


def _workers(settings: Settings) -> Finding:
    """Ring, and see whether someone comes: a killed worker stays registered for minutes."""
    with _ledger(settings) as database:
        reached = database.doorbell.ping()
        count = database.doorbell.worker_count()
        waited = _ring(database.doorbell) if count else None
        with database.reading() as session:
            overdue = moderation.overdue_seconds(session) or 0.0
    late = f"; comments have been due for {overdue:,.0f} s" if overdue >= 1 else ""
    if overdue > _OVERDUE_FAIL_SECONDS:
        return Finding("workers", Grade.FAIL, f"{count} registered{late}", "hamgate worker")
    if not reached:
        message = f"they cannot be asked without Redis{late or '; nothing is overdue'}"
        return Finding("workers", Grade.WARN, message, "mend Redis first")
    if not count:
        return Finding("workers", Grade.FAIL, f"none is registered{late}", "hamgate worker")
    if waited is None:
        message = f"{count} registered, none came in {_HEARS_WITHIN_SECONDS:g} s: busy or dead"
        return Finding("workers", Grade.WARN, message + late, "hamgate worker, and read its log")
    if overdue > _OVERDUE_WARN_SECONDS:
        message = f"{count} registered{late}: they cannot keep up"
        return Finding("workers", Grade.WARN, message, "hamgate worker, for one more")
    message = f"{count} registered, one came after {waited * 1000:.0f} ms; nothing is overdue"
    return Finding("workers", Grade.OK, message)


def _ring(doorbell: Doorbell) -> float | None:
    """Ring and give after how many seconds a worker took the job; `None` if none did in time."""
    began = time.monotonic()
    if not doorbell.ring(Job.CLASSIFY):
        return None
    while doorbell.backlog(Job.CLASSIFY):
        if time.monotonic() - began > _HEARS_WITHIN_SECONDS:
            return None
        time.sleep(0.005)
    return time.monotonic() - began


def _server(settings: Settings) -> Finding:
    where = loopback.origin(settings)
    if loopback.answers(settings):
        return Finding("server", Grade.OK, f"answers at {where}")
    message = f"none of ours answers at {where} on this machine"
    return Finding("server", Grade.WARN, message, "hamgate up, or hamgate web")


def _sign_on(settings: Settings) -> Finding:
    from service.openid import Provider  # brings what most installations never need

    try:
        Provider(settings).look()
    except ProviderFault as error:
        message = f"{settings.oidc_issuer} cannot be used: {error}"
        return Finding("sign-on", Grade.FAIL, message, "start it, or correct HAMGATE_OIDC_ISSUER")
    return Finding("sign-on", Grade.OK, f"{settings.oidc_issuer} says where to sign in")


def _mail(settings: Settings) -> Finding:
    """Log in to the mail server, and see what became of the mails of the last day."""
    relay = settings.relay
    where = f"{relay.host}:{relay.port}" if relay else "nowhere"
    try:
        mail.look(settings)
    except MailFault as error:
        remedy = "start it, or correct HAMGATE_SMTP_URL"
        return Finding("mail", Grade.FAIL, f"{where} takes no mail from us: {error}", remedy)
    with _ledger(settings) as database, database.reading() as session:
        lost = sending.given_up(session)
        late = sending.overdue_seconds(session) or 0.0
    if late > _MAIL_WARN_SECONDS:
        message = f"{where} takes our mail, but some has been due for {late:,.0f} s"
        return Finding("mail", Grade.WARN, message, "hamgate worker, with the same settings")
    if lost:
        message = f"{where} takes our mail, but not {lost} of the last day"
        return Finding("mail", Grade.WARN, message, "read why in the worker's log")
    return Finding("mail", Grade.OK, f"{where} takes our mail")


class _TakenBackError(Exception):
    """Undoes the transaction that tried whether the database can be written."""


@contextlib.contextmanager
def _ledger(settings: Settings) -> Iterator[Database]:
    database = Database(settings, Doorbell(settings))
    try:
        yield database
    finally:
        database.close()


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


def _grade(warn: bool, fail: bool) -> Grade:
    return Grade.FAIL if fail else Grade.WARN if warn else Grade.OK


_COLOURS = {Grade.OK: "green", Grade.WARN: "yellow", Grade.FAIL: "red"}


def _line(finding: Finding) -> str:
    grade = click.style(f"{finding.grade:4}", fg=_COLOURS[finding.grade], bold=True)
    line = f"{grade}  {finding.check:8}  {finding.message}"
    return line + (f"\n                → {finding.remedy}" if finding.remedy else "")
