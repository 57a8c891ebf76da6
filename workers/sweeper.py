"""The sweeper: finds in the ledger what nobody rang for.

It makes the doorbell a convenience. The one rule: it needs the ledger and nothing else; with
Redis gone, or with a worker that hangs, it drains by itself. Training and mail it only rings for:
what a site may learn, and what authors are written, can wait for Redis, a comment cannot.
"""

import logging
import os
import time

from service.base import pulse
from service.base.errors import Unavailable
from service.base.jobs import Job
from service.core import indexing, moderation, storms
from service.core.confirmations import sending
from service.judgement import learning
from service.ledger import tallies
from service.ledger.db import Database
from service.ledger.tallies import Tally
from service.operations import retention
from workers import classification, clock, context

log = logging.getLogger(__name__)

# Between a child that was killed and the next one, so that what dies before it has claimed anything
# does not keep a core busy.
MOURNING_SECONDS = 0.1
# Due for so long, a comment's bell was lost; and for so long, nobody who hears it works.
_RING_AFTER_SECONDS = 0.5
_RESCUE_AFTER_SECONDS = 3.0
_WATCH_SECONDS = 15.0
_BEAT_SECONDS = 15.0
# Of each look, what was there before the index of words is entered for no longer than this.
_FILL_SECONDS = 0.25
# Every quarter of a minute old things are forgotten for no longer than this.
_FORGET_SECONDS = 0.5


def run() -> None:
    """Look again and again, until the process is ended."""
    here = context.current()
    look_at = watch_at = beat_at = time.monotonic()
    while True:
        pause = here.settings.sweep_seconds
        if time.monotonic() >= beat_at:
            beat_at = time.monotonic() + _BEAT_SECONDS
            pulse.beat(here.settings)
        try:
            clock.put_right(here.database, here.settings)
            if not sweep(here.database):
                pause = min(pause, MOURNING_SECONDS)
            fill_index(here.database)
            look_for_mail(here)
            if time.monotonic() >= watch_at:
                watch_at = time.monotonic() + _WATCH_SECONDS
                watch_for_storms(here.database)
                tell_of_index(here.database)
                retention.forget(here.database, here.settings, most_seconds=_FORGET_SECONDS)
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + here.settings.train_look_seconds
                look_for_labels(here)
        except Unavailable as error:
            log.warning("the sweeper cannot look: %s", error)
        time.sleep(pause)


def sweep(database: Database) -> bool:
    """Ring for what is overdue; drain it in a child of our own if ringing does not help.

    Returns:
        Whether that went well; `False` if the child was killed, and others may wait behind what
        killed it.
    """
    with database.reading() as session:
        overdue = moderation.overdue_seconds(session)
    if overdue is None or overdue < _RING_AFTER_SECONDS:
        return True
    rung = database.doorbell.ring(Job.CLASSIFY)
    helps = rung and overdue < _RESCUE_AFTER_SECONDS
    tally = Tally()
    tally.count(tallies.RESCUES, "rang" if helps else "worked")
    database.doorbell.tally(tally.take())
    if helps:
        return True
    log.warning("comments are due since %.1f s; the sweeper classifies them itself", overdue)
    return _in_child()


def watch_for_storms(database: Database) -> None:
    """Begin and end storms, and say so."""
    for site_id, storm in storms.watch(database):
        if storm.ended_at is None:
            log.warning("storm on %s, every comment waits: %s", site_id, storm.told)
        else:
            log.warning("the storm on %s is over", site_id)


def fill_index(database: Database, most_seconds: float = _FILL_SECONDS) -> None:
    """Enter comments that an upgrade found there into the index of words, for a while."""
    until = time.monotonic() + most_seconds
    while time.monotonic() < until:
        with database.reading() as session:
            if indexing.filled_to(session) is None:
                return
        with database.transaction() as session:
            indexing.fill(session)


def tell_of_index(database: Database) -> None:
    """Say how far the index of words reaches, until it reaches back to the first comment."""
    with database.reading() as session:
        reached = indexing.filled_to(session)
    if reached is not None:
        log.info("the index of words reaches back to %s", reached.isoformat(timespec="seconds"))


def look_for_labels(here: context.Context) -> None:
    """Ring for training if any site has something to learn."""
    with here.database.reading() as session:
        waiting = learning.due(session, here.scorer, here.settings)
    if waiting:
        here.database.doorbell.ring(Job.TRAIN)


def look_for_mail(here: context.Context) -> None:
    """Ring for mail that nobody rang for, or that is to be tried again."""
    if here.settings.relay is None:
        return
    with here.database.reading() as session:
        overdue = sending.overdue_seconds(session)
    if overdue is not None and overdue >= _RING_AFTER_SECONDS:
        here.database.doorbell.ring(Job.MAIL)


def _in_child() -> bool:
    """Classify, and say whether nothing killed it."""
    # In a child, because the comment at the head may be one that kills whoever scores it.
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            classification.classify()
            code = 0
        except Unavailable as error:
            log.warning("the sweeper's child gave up: %s", error)
        finally:
            os._exit(code)
    return not os.WIFSIGNALED(os.waitpid(pid, 0)[1])
