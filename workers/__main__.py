"""`python -m workers`, behind `hamgate worker`: RQ workers, the sweeper and the courier.

The model is loaded once, here, before the first fork; every process below shares its memory. All
that is imported is imported here as well, even for the courier alone: an import afterwards touches,
and thereby copies, three times as much as it brings.
"""

import logging
import os
import sys
import time
from functools import partial

import redis
from rq import Worker

from service.base import config, jobs, logs
from service.base.config import Settings
from service.base.jobs import Job
from service.base.supervision import Child, Supervisor, settle
from workers import classification, context, delivery, sweeper

log = logging.getLogger("workers")


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    settings = config.from_environ(os.environ)
    logs.configure(settings)
    supervisor = Supervisor()
    supervisor.install()
    here = context.open_for(settings)
    classification.warm_up(here.database, here.scorer)
    if here.scorer.model is not None:
        log.info("model %s is loaded", here.scorer.model.version)
    settle()
    supervisor.add(Child("sweeper", sweeper.run))
    supervisor.add(Child("courier", delivery.run))
    supervisor.add(Child("rq worker", lambda: _work(settings, Job.CLASSIFY)))
    supervisor.add(Child("trainer", lambda: _work(settings, Job.TRAIN)))
    if settings.relay is not None:
        supervisor.add(Child("mailer", lambda: _work(settings, Job.MAIL)))
    supervisor.run()


def _work(settings: Settings, job: Job) -> None:
    connection = jobs.connect_blocking(settings)
    try:
        # One queue for each process: with several, RQ pops in a way that can lose a job.
        worker = Worker(
            [jobs.queue(job, connection)],
            connection=connection,
            serializer="json",
            default_result_ttl=0,
            log_job_description=False,
            work_horse_killed_handler=partial(_ring_again, settings, job),
        )
        worker.work(logging_level="WARNING", with_scheduler=False)
    except redis.RedisError as error:
        log.warning("Redis does not answer (%s); the sweeper works alone until it does", error)
        sys.exit(1)


def _ring_again(settings: Settings, job: Job, *_: object) -> None:
    """Have the next child go on at once with what is left when one was killed by a comment.

    What it held is tried again when its lease ends; what it had not yet claimed need not wait for
    the sweeper. Not so for training: what kills it is still there, and nothing counts the tries.
    """
    if job is Job.CLASSIFY:
        time.sleep(sweeper.MOURNING_SECONDS)
        jobs.Doorbell(settings).ring(job)


if __name__ == "__main__":
    main()
