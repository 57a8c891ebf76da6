"""Training: a site learns from its moderators, in its own process, beside classification.

`train` is the RQ job; `due` sites are worked through one after another. The one rule: it never
holds up a comment. It has its own job queue and worker process, runs at the lowest priority,
and holds no transaction while it learns.
"""

import logging
import os
import signal
import time

from service.base.errors import HamgateError, Unavailable
from service.base.jobs import Job
from service.core import sites
from service.judgement import learning
from workers import answers, context

log = logging.getLogger(__name__)

_NICENESS = 19
# Thousands of decisions take seconds; what takes this long is stuck, and is ended.
_MOST_SECONDS = 1800


def train() -> None:
    """RQ job: take the bell down, answer previews, train every site that has something to learn.

    It runs in a forked child, so scikit-learn's memory is given back when it ends.
    """
    here = context.current()
    here.database.doorbell.answer(Job.TRAIN)
    os.nice(_NICENESS)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_MOST_SECONDS)
    answers.answer_all(here.database, here.scorer, here.shelf)  # somebody looks at a page
    with here.database.reading() as session:
        waiting = learning.due(session, here.scorer, here.settings)
    for site_id in waiting:
        signal.alarm(_MOST_SECONDS)
        try:
            _train(here, site_id)
        except Unavailable:
            raise  # the ledger is gone for all of them; the sweeper asks again
        except HamgateError as error:
            log.warning("training %s failed: %s", site_id, error)
    signal.alarm(0)


def _train(here: context.Context, site_id: str) -> None:
    began = time.monotonic()
    with here.database.reading() as session:
        slug = sites.find_by_id(session, site_id).slug
    lesson = learning.train(here.database, here.scorer, site_id, here.settings, shelf=here.shelf)
    took = time.monotonic() - began
    if lesson.number is None:
        log.debug("site %s: no new version: %s", slug, lesson.reason)
    else:
        done = "scores from now on" if lesson.promoted else "is kept aside"
        log.info(
            "site %s: version %d %s (%s; %.1f s)", slug, lesson.number, done, lesson.reason, took
        )
