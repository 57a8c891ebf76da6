"""What the doctor looks at around the ledger: the disk, Redis, the model, processes, servers."""

import os
import shutil
import time
from typing import Any

import redis

from service.base import jobs, loopback, mail
from service.base.config import Settings
from service.base.errors import ProviderFault
from service.base.jobs import Doorbell, Job
from service.base.mail import MailFault
from service.core import moderation
from service.core.confirmations import sending
from service.operations.doctor.findings import Finding, Grade, grade_of, ledger
from service.pure.scoring import Content, Scorer

_MB = 1_000_000
_DISK_FAIL_BYTES = 200 * _MB
_DISK_WARN_BYTES = 1000 * _MB
# BLMOVE, by which RQ takes a job without ever having it nowhere, came with Redis 6.2.
_REDIS_OLDEST = (6, 2)
_MEMORY_WARN_SHARE = 0.9
# A worker hears the bell within milliseconds; one that drains a backlog may take its whole shift.
_HEARS_WITHIN_SECONDS = 3.0
_OVERDUE_WARN_SECONDS = 5.0
_OVERDUE_FAIL_SECONDS = 15.0
_MAIL_WARN_SECONDS = 600.0
_SAMPLE = Content(body="Thank you, the second step was what I had missed.", author_name="Ada")


def look_at_disk(settings: Settings) -> Finding:
    """Look whether the home is there, can be written, and has room."""
    home = settings.home
    if not home.is_dir():
        remedy = "hamgate up" if settings.embedded_database else f"mkdir -p {home}"
        return Finding("disk", Grade.FAIL, f"{home} is not there", remedy)
    if not os.access(home, os.W_OK | os.X_OK):
        remedy = f"chown -R {os.getuid()} {home}, or set HAMGATE_HOME to another folder"
        return Finding("disk", Grade.FAIL, f"{home} cannot be written", remedy)
    free = shutil.disk_usage(home).free
    grade = grade_of(free <= _DISK_WARN_BYTES, free <= _DISK_FAIL_BYTES)
    remedy = "" if grade is Grade.OK else "make room, or move HAMGATE_HOME to a larger disk"
    return Finding("disk", grade, f"{free / _MB:,.0f} MB free in {home}", remedy)


def look_at_redis(settings: Settings) -> Finding:
    """Ask Redis which it is, whether it is full, and what it does then."""
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


def look_at_model(settings: Settings) -> Finding:
    """Have the classifier give a verdict."""
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


def look_at_workers(settings: Settings) -> Finding:
    """Ring, and see whether someone comes: a killed worker stays registered for minutes."""
    with ledger(settings) as database:
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


def look_at_server(settings: Settings) -> Finding:
    """Ask the web server of this machine."""
    where = loopback.origin(settings)
    if loopback.answers(settings):
        return Finding("server", Grade.OK, f"answers at {where}")
    message = f"none of ours answers at {where} on this machine"
    return Finding("server", Grade.WARN, message, "hamgate up, or hamgate web")


def look_at_sign_on(settings: Settings) -> Finding:
    """Ask the OpenID provider where people sign in."""
    from service.core.openid import Provider  # brings what most installations never need

    try:
        Provider(settings).look()
    except ProviderFault as error:
        message = f"{settings.oidc_issuer} cannot be used: {error}"
        return Finding("sign-on", Grade.FAIL, message, "start it, or correct HAMGATE_OIDC_ISSUER")
    return Finding("sign-on", Grade.OK, f"{settings.oidc_issuer} says where to sign in")


def look_at_mail(settings: Settings) -> Finding:
    """Log in to the mail server, and see what became of the mails of the last day."""
    relay = settings.relay
    where = f"{relay.host}:{relay.port}" if relay else "nowhere"
    try:
        mail.look(settings)
    except MailFault as error:
        remedy = "start it, or correct HAMGATE_SMTP_URL"
        return Finding("mail", Grade.FAIL, f"{where} takes no mail from us: {error}", remedy)
    with ledger(settings) as database, database.reading() as session:
        lost = sending.given_up(session)
        late = sending.overdue_seconds(session) or 0.0
    if late > _MAIL_WARN_SECONDS:
        message = f"{where} takes our mail, but some has been due for {late:,.0f} s"
        return Finding("mail", Grade.WARN, message, "hamgate worker, with the same settings")
    if lost:
        message = f"{where} takes our mail, but not {lost} of the last day"
        return Finding("mail", Grade.WARN, message, "read why in the worker's log")
    return Finding("mail", Grade.OK, f"{where} takes our mail")
