"""Sending mail: to a real server, through STARTTLS, against servers that refuse, hang and drip."""

import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from sqlalchemy import select, update

from service.base import jobs, mail
from service.base.config import Settings
from service.base.jobs import Job
from service.base.mail import MailFault
from service.core import confirmations
from service.core.comments import get
from service.core.confirmations import rows, sending
from service.core.sites import SiteView
from service.ledger.db import Database, db_now, utc_now
from service.ledger.models import CONFIRMATIONS
from service.pure import letters
from service.pure.policy import Status
from tests.cast import decide, make_comment, make_site, open_ledger
from tests.mailserver import PASSWORD, USER, MailServer, dripping, serving_mail
from workers import clock, context, mailing, sweeper

EMAIL = "ada@example.org"
MakeSettings = Callable[..., Settings]


@pytest.fixture
def server() -> Iterator[MailServer]:
    with serving_mail() as running:
        yield running


@pytest.fixture
def post(make_settings: MakeSettings, server: MailServer) -> Settings:
    """Settings with that server, which offers no encryption."""
    return with_mail(make_settings, f"smtp://localhost:{server.port}?starttls=no")


@pytest.fixture
def ledger(post: Settings) -> Iterator[Database]:
    opened = open_ledger(post)
    yield opened
    opened.close()


@pytest.fixture
def site(ledger: Database) -> SiteView:
    return make_site(ledger)


def with_mail(make_settings: MakeSettings, url: str, **environ: str) -> Settings:
    return make_settings(
        HAMGATE_SMTP_URL=url,
        HAMGATE_MAIL_FROM="Comments <comments@example.net>",
        HAMGATE_URL="https://comments.example.net",
        **environ,
    )


def ask(database: Database, site: SiteView, language: str = "en", **changes: Any) -> str:
    """Have somebody ask for a mail, and give the comment's id."""
    comment = make_comment(database, site, **changes)
    decide(database, [comment], Status.APPROVED)
    with database.transaction() as session:
        confirmations.ask(session, get(session, comment), language)
    return comment


def kept(database: Database) -> Any:
    """Give the only mail of the ledger."""
    with database.reading() as session:
        return session.execute(select(CONFIRMATIONS)).one()


def make_due(database: Database) -> None:
    """Let the lease or the pause be over."""
    with database.transaction() as session:
        session.execute(
            update(CONFIRMATIONS)
            .where(CONFIRMATIONS.c.send_at.is_not(None))
            .values(send_at=db_now(-1))
        )


def test_a_mail_says_what_it_is_in_the_authors_language(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site, "de", name="Mallory\u202e <b>", body="Buy at https://evil.example")

    assert mailing.send_next(ledger, post)

    (message,) = server.taken
    assert server.recipients == [EMAIL]
    assert message["To"] == EMAIL
    assert message["From"] == "Comments <comments@example.net>"
    assert message["Subject"] == "Bestätigen Sie Ihre Adresse für Kommentare auf blog"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "de"
    assert message["Message-ID"] == f"<{kept(ledger).id}@example.net>"
    assert message["Date"].datetime - utc_now() < timedelta(minutes=1)
    silence = "https://comments.example.net/sites/blog/silence?token=cnf_"
    assert message["List-Unsubscribe"].startswith(f"<{silence}")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text = message.get_content()
    assert "https://comments.example.net/sites/blog/confirmation?token=cnf_" in text
    assert silence in text
    assert "innerhalb von 3 Tagen" in text
    assert EMAIL not in text
    assert not any(word in message.as_string() for word in ("Mallory", "evil", "Buy"))


def test_a_mail_is_sent_once_and_then_it_is_done(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site)

    assert [mailing.send_next(ledger, post) for _ in range(3)] == [True, False, False]

    assert len(server.taken) == 1
    row = kept(ledger)
    assert (row.send_at, row.fault, row.attempts) == (None, None, 1)
    assert row.sent_at is not None


def test_nothing_is_sent_while_mail_is_off(ledger: Database, site: SiteView) -> None:
    ask(ledger, site)

    assert not mailing.send_next(ledger, Settings())
    assert kept(ledger).attempts == 0


def test_an_address_of_any_script_is_written_to(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    for address in ("jörg@bücher.example", "ada@bücher.example"):
        ask(ledger, site, email=address, email_normalised=address)

    while mailing.send_next(ledger, post):
        pass

    assert server.recipients == ["jörg@bücher.example", "ada@xn--bcher-kva.example"]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this process trusts, and the processes it starts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def certificate(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(found)
    return found


def letter_by(settings: Settings) -> None:
    """Send a letter right away."""
    asked = letters.Request(
        "cnf_1", EMAIL, "en", "Blog", utc_now(), 3, "https://c.example/1", "https://c.example/2"
    )
    mail.send(settings, letters.request(asked, settings.sender, utc_now()), EMAIL)


def direct(url: str) -> Settings:
    """Settings for those who only speak to a mail server."""
    return Settings(smtp_url=url, mail_from="c@example.net", url="https://c.example.net")


LOGIN = f"{USER}:{PASSWORD.replace('@', '%40').replace(' ', '%20')}"


def test_by_starttls_it_logs_in_and_sends_encrypted(authority: trustme.CA) -> None:
    with serving_mail(certificate(authority), require_starttls=True, auth_required=True) as server:
        letter_by(direct(f"smtp://{LOGIN}@localhost:{server.port}"))

    assert server.encrypted == [True]
    assert server.logins == [(USER, PASSWORD)]


def test_smtps_is_encrypted_from_the_first_byte(authority: trustme.CA) -> None:
    with serving_mail(ssl_context=certificate(authority)) as server:
        letter_by(direct(f"smtps://localhost:{server.port}"))

    assert len(server.taken) == 1


def test_a_certificate_of_somebody_else_is_refused(authority: trustme.CA) -> None:
    for shown in (certificate(trustme.CA()), certificate(authority, "mail.example.net")):
        with (
            serving_mail(shown) as server,
            pytest.raises(MailFault, match="certificate") as fault,
        ):
            letter_by(direct(f"smtp://localhost:{server.port}"))

        assert server.taken == []
        assert not fault.value.final


def test_without_starttls_nothing_is_said_unless_the_operator_allowed_it(
    server: MailServer,
) -> None:
    with pytest.raises(MailFault, match="no STARTTLS") as fault:
        letter_by(direct(f"smtp://localhost:{server.port}"))

    assert server.taken == []
    assert not fault.value.final


def test_a_wrong_password_is_tried_again_later_and_told_without_it(
    authority: trustme.CA,
) -> None:
    with (
        serving_mail(certificate(authority), auth_required=True) as server,
        pytest.raises(MailFault, match=r"Authentication\w* \(535\)") as fault,
    ):
        letter_by(direct(f"smtp://hamgate:wrong@localhost:{server.port}"))

    assert not fault.value.final
    assert "wrong" not in str(fault.value)


@pytest.mark.parametrize("where", ["recipient_answer", "data_answer"])
def test_what_is_refused_for_good_is_given_up_and_no_log_names_the_address(
    post: Settings, ledger: Database, site: SiteView, server: MailServer, where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    setattr(server, where, f"550 5.1.1 <{EMAIL}> is unknown")
    ask(ledger, site)

    with caplog.at_level(logging.DEBUG):
        mailing.send_next(ledger, post)

    row = kept(ledger)
    assert (row.send_at, row.sent_at) == (None, None)
    assert "(550)" in row.fault
    ours = [one.getMessage() for one in caplog.records if one.name != "mail.log"]  # aiosmtpd's
    assert len(ours) == 1
    assert EMAIL not in ours[0] + row.fault
    with ledger.reading() as session:
        assert sending.given_up(session) == 1


def test_what_is_refused_for_now_is_tried_again_five_times(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    server.recipient_answer = "451 4.7.1 greylisted, {address}"
    ask(ledger, site)
    for attempt in range(1, sending.ATTEMPTS_MOST + 1):
        assert kept(ledger).send_at is not None
        assert mailing.send_next(ledger, post), attempt
        assert not mailing.send_next(ledger, post)  # not before the pause is over
        make_due(ledger)

    assert not mailing.send_next(ledger, post)
    assert (kept(ledger).send_at, kept(ledger).fault) == (None, "the address was refused (451)")


def test_a_server_that_takes_it_at_last_gets_it(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site)
    server.data_answer = "452 4.3.1 full"
    mailing.send_next(ledger, post)
    server.data_answer = None
    make_due(ledger)

    mailing.send_next(ledger, post)

    assert len(server.taken) == 1
    assert kept(ledger).fault is None


def test_nobody_there_is_a_fault_and_no_more() -> None:
    with pytest.raises(MailFault, match="ConnectionRefusedError") as fault:
        mail.look(direct("smtp://localhost:1"))

    assert not fault.value.final


def test_a_server_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "_PATIENCE_SECONDS", 0.2)
    # It takes the connection and never speaks.
    with socket.create_server(("localhost", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(MailFault, match="timed out"):
            mail.look(direct(f"smtp://localhost:{port}?starttls=no"))


# A sender of its own, as RQ forks it; what it runs stands behind.
_SENDER = """
import os
from service.base import config
from workers import context, mailing
here = context.current()
{change}
mailing.send_mail()
"""


def sender(settings: Settings, change: str = "") -> subprocess.Popen[bytes]:
    environ = {
        "HAMGATE_HOME": str(settings.home),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "HAMGATE_SMTP_URL": settings.smtp_url or "",
        "HAMGATE_MAIL_FROM": settings.mail_from or "",
        "HAMGATE_URL": settings.public_url,
    }
    program = _SENDER.format(change=change)
    return subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **environ})


@pytest.mark.process
def test_a_server_that_drips_is_left_and_the_mail_stays_due(make_settings: MakeSettings) -> None:
    with dripping(b"220-hello\r\n220-") as port:
        settings = with_mail(make_settings, f"smtp://localhost:{port}?starttls=no")
        ledger = open_ledger(settings)
        ask(ledger, make_site(ledger))

        ended = sender(settings, "mailing._ALARM_SECONDS = 0.5").wait(30)

    assert ended == -signal.SIGALRM
    row = kept(ledger)
    assert (row.attempts, row.sent_at) == (1, None)
    assert row.send_at is not None
    ledger.close()


@pytest.mark.process
def test_a_sender_killed_between_sending_and_noting_sends_once_more_at_worst(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site)
    running: list[subprocess.Popen[bytes]] = []
    server.on_data = lambda: running[0].kill()
    running.append(sender(post))
    assert running[0].wait(30) == -signal.SIGKILL
    server.on_data = None

    assert not mailing.send_next(ledger, post)  # its lease is not over
    make_due(ledger)
    assert mailing.send_next(ledger, post)

    assert len(server.taken) == 2
    assert len({message["Message-ID"] for message in server.taken}) == 1
    assert kept(ledger).send_at is None


def test_a_mail_that_kills_its_senders_is_given_up(
    post: Settings, ledger: Database, site: SiteView
) -> None:
    ask(ledger, site)
    with ledger.transaction() as session:
        session.execute(update(CONFIRMATIONS).values(attempts=sending.ATTEMPTS_MOST))

    assert not mailing.send_next(ledger, post)
    assert kept(ledger).fault == "its senders were killed"


def test_who_lost_the_lease_changes_nothing(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site)
    with ledger.transaction() as session:
        late = sending.claim(session, 0)
    assert late is not None
    time.sleep(0.01)
    assert mailing.send_next(ledger, post)

    with ledger.transaction() as session:
        sending.failed(session, late, "too late", final=False)

    assert (kept(ledger).send_at, kept(ledger).fault) == (None, None)


@pytest.mark.parametrize("status", [Status.SPAM, Status.REJECTED])
def test_for_a_comment_that_was_refused_meanwhile_no_mail_goes_out(
    post: Settings, ledger: Database, site: SiteView, server: MailServer, status: Status
) -> None:
    comment = ask(ledger, site)
    decide(ledger, [comment], status)

    assert not mailing.send_next(ledger, post)
    assert server.taken == []
    assert kept(ledger).send_at is None


def test_to_whom_said_no_meanwhile_no_mail_goes_out(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site)
    with ledger.transaction() as session:
        confirmations.silence(session, kept(ledger).id, site.id)

    assert not mailing.send_next(ledger, post)
    assert server.taken == []


def test_after_the_link_has_ended_no_mail_goes_out(
    post: Settings, ledger: Database, site: SiteView, server: MailServer
) -> None:
    ask(ledger, site)
    with ledger.transaction() as session:
        session.execute(update(CONFIRMATIONS).values(created_at=utc_now() - rows.LASTS))

    assert not mailing.send_next(ledger, post)
    assert server.taken == []


@pytest.mark.parametrize("failures", [0, 1, 4])
def test_a_mail_put_off_by_a_clock_that_was_ahead_is_due_at_once(
    post: Settings, ledger: Database, site: SiteView, server: MailServer, failures: int
) -> None:
    ask(ledger, site)
    fail(ledger, post, server, failures)
    put_clock_back(ledger, timedelta(minutes=10))
    assert not mailing.send_next(ledger, post)

    assert clock.put_right(ledger, post) == 1

    assert mailing.send_next(ledger, post)


@pytest.mark.parametrize("failures", [1, 2, 4])
def test_a_mail_that_pauses_by_the_right_clock_goes_on_pausing(
    post: Settings, ledger: Database, site: SiteView, server: MailServer, failures: int
) -> None:
    ask(ledger, site)
    fail(ledger, post, server, failures)

    assert clock.put_right(ledger, post) == 0


def fail(database: Database, settings: Settings, server: MailServer, times: int) -> None:
    """Have the mail refused so often, for now."""
    server.data_answer = "452 4.3.1 full"
    for _ in range(times):
        make_due(database)
        mailing.send_next(database, settings)


def put_clock_back(database: Database, by: timedelta) -> None:
    """Have the mail been put off by a clock so much ahead."""
    with database.transaction() as session:
        session.execute(update(CONFIRMATIONS).values(send_at=kept(database).send_at + by))


def test_the_sweeper_rings_for_mail_that_nobody_rang_for(
    post: Settings, ledger: Database, site: SiteView
) -> None:
    ask(ledger, site)
    make_due(ledger)
    connection = jobs.connect(post)
    connection.flushall()
    here = context.open_for(post)

    sweeper.look_for_mail(here)

    assert jobs.queue(Job.MAIL, connection).count == 1
    here.database.close()
