"""Workers on two hosts share one database and one Valkey; one host is cut off at its work.

Everything accepted is decided or held within 15 s of the cut, nothing twice, and the host that
was cut off works again by itself when it is back.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.base import config
from service.core.sites import SiteView
from service.ledger.db import Database
from service.operations import schema
from tests.cast import (
    HAM,
    decisions_by_comment,
    make_comments,
    make_site,
    open_ledger,
    wait_until,
)
from tests.deploy import network
from tests.deploy.network import HUB_ADDRESS, Network
from tests.deploy.servers import ROOT, Servers
from tests.system import kill_family

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(bool(network.missing()), reason=network.missing()),
]

_DECIDED_WITHIN_SECONDS = 15  # promise 1
_STARTED_WITHIN_SECONDS = 30


class Hosts:
    """The hub with the servers, and what runs on the other hosts."""

    def __init__(self, net: Network, folder: Path) -> None:
        self.net = net
        self.servers = Servers(address=HUB_ADDRESS, inside=net.inside())
        self._folder = folder
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, *command: str, host: str) -> subprocess.Popen[str]:
        """Start a program of ours on a host, which reaches the servers over its cable only."""
        environ = {
            "PATH": os.environ["PATH"],
            "HAMGATE_HOME": str(self._folder / name),
            "HAMGATE_LOG_LEVEL": "warning",
            "HAMGATE_CLASSIFY_LEASE_SECONDS": "3",
            "DATABASE_URL": self.servers.database_url,
            "REDIS_URL": self.servers.redis_url,
        }
        process = subprocess.Popen(
            [*self.net.inside(host), *command],
            env=environ,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes[name] = process
        return process

    def kill(self, name: str) -> None:
        kill_family(self._processes.pop(name))

    def stop(self) -> None:
        for name in list(self._processes):
            self.kill(name)
        self.servers.stop()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with contextlib.ExitStack() as stack:
        net = Network()
        stack.callback(net.remove)
        made = Hosts(net, tmp_path)
        stack.callback(made.stop)
        net.add_host("one")
        net.add_host("two")
        made.servers.start()
        yield made


@pytest.fixture
def ledger(hosts: Hosts) -> Iterator[Database]:
    """The ledger as the test sees it: by a socket that no cut cable is in the way of."""
    settings = config.from_environ(
        {
            "DATABASE_URL": hosts.servers.local_database_url,
            "REDIS_URL": hosts.servers.local_redis_url,
        }
    )
    schema.migrate(settings)
    opened = open_ledger(settings)
    yield opened
    opened.close()


class Feed:
    """Comments that come in until it is told to stop."""

    def __init__(self, database: Database, site: SiteView) -> None:
        self.accepted: set[str] = set()
        self._database, self._site = database, site
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.1):
            bodies = [f"{HAM} {len(self.accepted) + place}" for place in range(20)]
            self.accepted |= set(make_comments(self._database, self._site, bodies))


def test_what_a_host_had_in_hand_when_it_was_cut_off_is_decided_by_the_other(
    hosts: Hosts, ledger: Database
) -> None:
    worker = str(Path(sys.executable).parent / "hamgate")
    hosts.start("worker-one", worker, "worker", host="one")
    hosts.start("worker-two", worker, "worker", host="two")
    wait_until(
        lambda: ledger.doorbell.worker_count() == 2, _STARTED_WITHIN_SECONDS, "no two workers"
    )
    holding = hosts.start("holding", sys.executable, "-m", "tests.deploy.holding", host="one")
    assert holding.stdin is not None
    assert holding.stdout is not None
    assert holding.stdout.readline() == "ready\n"
    feed = Feed(ledger, make_site(ledger))
    wait_until(lambda: len(decisions_by_comment(ledger)) > 100, 30, "nobody works")
    holding.stdin.write("go\n")
    holding.stdin.flush()
    assert int(holding.stdout.readline()) > 0

    hosts.net.cut("one")
    cut_at = time.monotonic()
    time.sleep(1)  # some come in while nobody knows yet
    feed.stop()

    accepted = feed.accepted
    assert not accepted <= decisions_by_comment(ledger).keys()
    left = _DECIDED_WITHIN_SECONDS - (time.monotonic() - cut_at)
    wait_until(lambda: accepted <= decisions_by_comment(ledger).keys(), left, "not all decided")
    print(f"all {len(accepted)} decided {time.monotonic() - cut_at:.1f} s after the cut")
    assert {len(decisions) for decisions in decisions_by_comment(ledger).values()} == {1}

    hosts.kill("worker-two")
    hosts.net.mend("one")
    (late,) = make_comments(ledger, make_site(ledger, "other"), ["Does anybody still read this?"])
    wait_until(
        lambda: late in decisions_by_comment(ledger),
        _DECIDED_WITHIN_SECONDS,
        "the host that is back does nothing",
    )
    assert {len(decisions) for decisions in decisions_by_comment(ledger).values()} == {1}
    assert hosts.servers.refused() == []
