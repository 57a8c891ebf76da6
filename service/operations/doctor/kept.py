"""What the doctor asks the ledger: whether it can be used, and what it says of itself."""

import contextlib
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import make_url, select

from service.base.config import Settings
from service.core import sites
from service.core.webhooks import deliveries, endpoints
from service.judgement import labels
from service.ledger.db import db_now, new_id, utc_now
from service.operations import retention, schema
from service.operations.doctor.findings import Finding, Grade, grade_of, ledger

_CLOCK_WARN_SECONDS = 1.0
_CLOCK_FAIL_SECONDS = 30.0
_DELIVERY_WARN_SECONDS = 60.0


def look_at_database(settings: Settings) -> Finding:
    """Look whether it is migrated and can be written."""
    where = make_url(settings.sqlalchemy_url).render_as_string(hide_password=True)
    if settings.embedded_database and not settings.database_file.exists():
        return Finding("database", Grade.FAIL, f"none yet at {where}", "hamgate migrate")
    if not schema.is_current(settings):
        message = f"{where} is not at this version's revision"
        return Finding("database", Grade.FAIL, message, "hamgate migrate")
    with (
        ledger(settings) as database,
        contextlib.suppress(_TakenBackError),
        database.transaction() as session,
    ):
        sites.create(session, f"doctor-{new_id('x')[2:]}", origins=[])
        raise _TakenBackError
    return Finding("database", Grade.OK, f"{where} is at the newest revision and can be written")


def look_at_clock(settings: Settings) -> Finding:
    """Compare this machine's time with the database's."""
    with ledger(settings) as database, database.reading() as session:
        session.execute(select(1))  # the connection is open before the time is taken
        before = utc_now()
        theirs = session.execute(select(db_now())).scalar_one()
        after = utc_now()
    # Their time lies between two of ours: what is outside of these is off for certain.
    off = max(before - theirs, theirs - after, timedelta()).total_seconds()
    grade = grade_of(off > _CLOCK_WARN_SECONDS, off > _CLOCK_FAIL_SECONDS)
    if grade is Grade.OK:
        return Finding("clock", grade, "this machine and the database agree")
    message = f"this machine and the database are {off:.1f} s apart"
    return Finding("clock", grade, message, "timedatectl set-ntp true, on both machines")


def look_at_sites(settings: Settings) -> Finding:
    """Count and name the sites."""
    with ledger(settings) as database, database.reading() as session:
        slugs = [site.slug for site in sites.listing(session)]
    if not slugs:
        create = "hamgate site create SLUG --origin https://example.org"
        return Finding("sites", Grade.WARN, "there is none", create)
    return Finding("sites", Grade.OK, f"{len(slugs)}: {_few(slugs)}")


def look_at_learning(settings: Settings) -> Finding:
    """Look for labels that wait for a second opinion."""
    with ledger(settings) as database, database.reading() as session:
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


def look_at_privacy(settings: Settings) -> Finding:
    """Say how long what is kept, and whether the sweeper keeps up with forgetting."""
    with ledger(settings) as database, database.reading() as session:
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


def look_at_webhooks(settings: Settings) -> Finding:
    """See which endpoints fail or were given up, and how long a delivery has been due at most."""
    with ledger(settings) as database, database.reading() as session:
        known = sites.listing(session)
        found = {site.slug: endpoints.listing(session, site.id) for site in known}
        given_up = [one.slug for one in known for _ in endpoints.given_up(session, one.id)]
        late = deliveries.overdue_seconds(session) or 0.0
    served = [(slug, one) for slug in found for one in found[slug] if one.disabled_at is None]
    failing = [(one.failing_since, slug) for slug, one in served if one.failing_since is not None]
    due = f"the oldest delivery has been due for {late:,.0f} s" if late >= 1 else "none is overdue"
    if given_up:
        message = f"{len(given_up)} disabled by their failures, on {_few(given_up)}; {due}"
        return Finding("webhooks", Grade.WARN, message, "mend the receiver, enable it, and replay")
    if failing:
        since = min(since for since, _ in failing)
        message = (
            f"{len(failing)} of {len(served)} fail, the first since {since:%Y-%m-%d %H:%M} UTC,"
            f" on {_few([slug for _, slug in failing])}; {due}"
        )
        remedy = "the endpoint's log in the dashboard says why"
        return Finding("webhooks", Grade.WARN, message, remedy)
    if late > _DELIVERY_WARN_SECONDS:
        return Finding("webhooks", Grade.WARN, due, "hamgate worker, whose courier delivers")
    return Finding("webhooks", Grade.OK, f"{len(served)} are told; {due}")


def _few(slugs: Sequence[str]) -> str:
    named = sorted(set(slugs))
    return ", ".join(named[:5]) + (", …" if len(named) > 5 else "")


class _TakenBackError(Exception):
    """Undoes the transaction that tried whether the database can be written."""
