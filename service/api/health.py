"""Is it alive, is it ready, how is it doing: for probes, load balancers and Prometheus."""

import ipaddress
import json
import logging

import flask
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST

from service.base.errors import NotFound, Unavailable
from service.core import moderation
from service.core.webhooks import deliveries
from service.operations import metrics
from service.serving.here import here

log = logging.getLogger(__name__)
blueprint = flask.Blueprint("health", __name__)

# Older than this, something is wrong with the workers, whatever they say of themselves.
_BACKLOG_SECONDS = 15.0


@blueprint.get("/livez")
def live() -> Response:
    """Say that this process answers."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def ready() -> Response:
    """Say what works; 503 only without the database, for without the rest nothing is lost."""
    checks: dict[str, object] = {}
    status = "ok"
    try:
        with here().database.reading() as session:
            overdue = moderation.overdue_seconds(session)
            undelivered = deliveries.overdue_seconds(session)
        checks["database"] = "ok"
        checks["oldest_due_seconds"] = overdue
        checks["oldest_delivery_seconds"] = undelivered
        if max(overdue or 0, undelivered or 0) > _BACKLOG_SECONDS:
            status = "degraded"
    except Unavailable as error:
        log.warning("not ready: %s", error)  # why is not for everybody: it may name hosts
        checks["database"] = "does not answer"
        status = "down"
    if here().doorbell.ping():
        checks["redis"] = "ok"
        workers = here().doorbell.worker_count()
        checks["workers"] = workers
        if not workers and status == "ok":
            status = "degraded"
    else:
        checks["redis"] = "does not answer; the sweeper does its work"
        status = "degraded" if status == "ok" else status
    body = json.dumps({"status": status, "checks": checks}) + "\n"
    return Response(body, 503 if status == "down" else 200, mimetype="application/json")


@blueprint.get("/metrics")
def prometheus() -> Response:
    """Give the metrics of all web processes and the ledger, to `HAMGATE_METRICS_ALLOW` only."""
    address = here().access.client_address()
    allowed = here().settings.metrics_allow
    if address is None or not any(ipaddress.ip_address(address) in net for net in allowed):
        raise NotFound("there is no such page")
    exposed = metrics.expose(here().settings, here().database, here().doorbell)
    return Response(exposed, mimetype=CONTENT_TYPE_LATEST)
