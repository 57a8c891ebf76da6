"""Settings: read once from the environment, frozen, strict.

The one rule: nothing else in the project reads `os.environ`. A misspelt `HAMGATE_…` name or a
bad value stops the start with all faults listed, rather than being ignored. A secret may come
from a file: `HAMGATE_SECRET_FILE` in place of `HAMGATE_SECRET`.
"""

import difflib
import hashlib
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from email.headerregistry import Address as MailAddress
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.base import files, relays
from service.base.errors import ConfigError
from service.base.relays import Relay
from service.base.values import (
    AbsolutePath,
    Address,
    BaseUrl,
    Collector,
    DatabaseUrl,
    Issuer,
    Limit,
    Networks,
    OwnNetworks,
    Ports,
    RateLimit,
    RedisUrl,
    Sender,
    SmtpUrl,
    is_secure,
)

# sun_path of a Unix socket holds 108 bytes with its terminator (unix(7)).
_SOCKET_PATH_BYTES = 100
# In the home, where no secret is set: the one that signs, and the one that signed before it.
SECRET_FILES = ("secret", "secret.previous")


class Settings(BaseModel):
    """Everything an operator can set; each field's description is its documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    home: AbsolutePath = Field(
        Path(".hamgate"), description="Folder of the data, the secret and the sockets."
    )
    host: Address = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port the web server listens on.")
    url: BaseUrl | None = Field(
        None, description="Public address of the service; default http://localhost:PORT."
    )
    database_url: DatabaseUrl = Field(
        "", description="SQLAlchemy URL of the ledger; default SQLite in HAMGATE_HOME."
    )
    redis_url: RedisUrl = Field(
        "",
        description="Redis or Valkey: redis://, rediss:// with TLS, unix://, redis+sentinel://;"
        " default the embedded Valkey's socket in HAMGATE_HOME.",
    )
    secret: str = Field(
        "", description="Signs receipts, ≥ 32 characters; default a file made in HAMGATE_HOME."
    )
    secret_previous: str = Field(
        "", description="The secret before a change: what it signed stays good while this is set."
    )
    postgres_programs: AbsolutePath | None = Field(
        None,
        description="Folder of PostgreSQL's programs, for backups; default PATH and Debian's.",
    )
    trusted_proxies: Networks = Field(
        (), description="Networks (CIDR, commas between) whose X-Forwarded-For is believed."
    )
    metrics_allow: Networks = Field(
        tuple(
            ipaddress.ip_network(n)
            for n in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
        ),
        description="Networks that may read /metrics.",
    )
    web_processes: int = Field(2, ge=1, le=64, description="Web server processes.")
    web_threads: int = Field(40, ge=2, le=256, description="Requests a process works on at once.")
    web_wait_seconds: float = Field(1.0, gt=0, le=30, description="Longest wait in line; then 503.")
    web_backlog: int = Field(1024, ge=2, le=16_384, description="Connections a process may hold.")
    log_format: Literal["text", "json"] = Field("text", description="Log lines for people or JSON.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log from.")
    otel_exporter_otlp_endpoint: Collector | None = Field(
        None, description="Your collector of traces, by OTLP over HTTP: http://HOST:4318."
    )
    email_deliverability: bool = Field(
        False, description="Look up the e-mail's domain in DNS before accepting (cached)."
    )
    limit_address: RateLimit = Field(
        Limit(amount=30, window_seconds=60), description="Comments per client address."
    )
    limit_email: RateLimit = Field(
        Limit(amount=30, window_seconds=60), description="Comments per e-mail address."
    )
    limit_thread: RateLimit = Field(
        Limit(amount=300, window_seconds=60), description="Comments per thread."
    )
    limit_site: RateLimit = Field(
        Limit(amount=3000, window_seconds=60), description="Comments per site, browsers only."
    )
    limit_key: RateLimit = Field(
        Limit(amount=60000, window_seconds=60), description="Comments per API key."
    )
    limit_other: RateLimit = Field(
        Limit(amount=1200, window_seconds=60), description="Other requests per client address."
    )
    limit_confirm: RateLimit = Field(
        Limit(amount=5, window_seconds=3600),
        description="Mails for the confirmation of an address asked for per client address.",
    )
    reader_seconds: float = Field(
        1.0,
        ge=0,
        le=60,
        description="How long readers may be shown a thread as it was; 0 looks for each of them.",
    )
    edit_seconds: int = Field(
        900, ge=0, le=604_800, description="How long authors may edit a comment; 0 for never."
    )
    keep_address_hours: int = Field(
        24, ge=1, le=876_000, description="After so long only the network of an address is kept."
    )
    keep_spam_days: int = Field(
        90, ge=1, le=36_500, description="How long texts and authors of spam are kept."
    )
    keep_deleted_days: int = Field(
        30, ge=1, le=36_500, description="The same of what was deleted or withdrawn."
    )
    keep_campaign_days: int = Field(
        90,
        ge=1,
        le=36_500,
        description="How long near-duplicates are known after the last of them.",
    )
    keep_event_days: int = Field(
        30, ge=1, le=36_500, description="How long events and their deliveries are kept."
    )
    keep_attempt_days: int = Field(
        30, ge=1, le=36_500, description="How long the log of attempts to deliver is kept."
    )
    classify_batch: int = Field(256, ge=1, le=2000, description="Comments scored in one call.")
    classify_lease_seconds: int = Field(
        10, ge=2, le=600, description="How long a worker may hold a batch before it is retried."
    )
    deliver_lease_seconds: int = Field(
        30, ge=15, le=600, description="How long an attempt at a webhook may take with its noting."
    )
    train_after: int = Field(
        25, ge=1, le=100_000, description="New decisions of people after which a site learns."
    )
    train_burst: int = Field(
        30,
        ge=1,
        le=100_000,
        description="Labels against the classifier, by one actor in one hour, still believed.",
    )
    train_look_seconds: float = Field(
        30.0, gt=0, le=3600, description="How often it is looked whether a site may learn."
    )
    model: Path | None = Field(
        None, description="Folder of the model; default the one inside the package."
    )
    sweep_seconds: float = Field(1.0, gt=0, le=60, description="How often the sweeper looks.")
    webhook_networks: OwnNetworks = Field(
        (), description="Private networks (CIDR, commas between) that webhooks may reach."
    )
    webhook_ports: Ports = Field(
        (), description="Ports there besides 443, 8443 and 80, such as 8080,9000-9100."
    )
    webhook_http: bool = Field(
        False, description="Let webhooks go over http, where everybody on the way can read them."
    )
    webhook_ca: AbsolutePath | None = Field(
        None, description="File (PEM) of authorities that webhooks believe besides the system's."
    )
    oidc_issuer: Issuer | None = Field(
        None,
        max_length=500,
        description="OpenID provider for sign-in, as it calls itself; default none.",
    )
    oidc_client_id: str | None = Field(
        None, max_length=200, description="What the OpenID provider calls this installation."
    )
    oidc_client_secret: str | None = Field(
        None, max_length=1000, description="What the OpenID provider knows it by."
    )
    oidc_name: str = Field(
        "single sign-on", max_length=40, description="What the button for it says: Sign in with …"
    )

    smtp_url: SmtpUrl | None = Field(
        None,
        description="Your mail server, by which authors confirm their addresses: smtps://… or"
        " smtp://… with STARTTLS; default none, and no mail.",
    )
    mail_from: Sender | None = Field(
        None, max_length=320, description="Whom such mail comes from: ADDRESS or NAME <ADDRESS>."
    )

    @property
    def public_url(self) -> str:
        """The service's own origin, without a trailing slash."""
        return self.url or f"http://localhost:{self.port}"

    @property
    def own_origins(self) -> list[str]:
        """Origins under which a browser may reach this server itself."""
        return sorted(
            {
                self.public_url,
                *(f"http://{name}:{self.port}" for name in ("localhost", "127.0.0.1")),
            }
        )

    @property
    def relay(self) -> Relay | None:
        """The operator's mail server, if mail is on."""
        return None if self.smtp_url is None else relays.read(self.smtp_url)

    @property
    def sender(self) -> MailAddress:
        """Whom mail comes from; only where mail is on."""
        return relays.sender(self.mail_from or "")

    @property
    def embedded_database(self) -> bool:
        """Whether the ledger is the SQLite file in `home`."""
        return not self.database_url

    @property
    def embedded_redis(self) -> bool:
        """Whether `hamgate up` has to start Valkey itself."""
        return not self.redis_url

    @property
    def database_file(self) -> Path:
        """Where the ledger is if it is embedded."""
        return self.home / "hamgate.db"

    @property
    def sqlalchemy_url(self) -> str:
        """URL for the engine; plain postgres URLs are given the psycopg 3 driver."""
        if not self.database_url:
            return f"sqlite:///{self.database_file}"
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self.database_url)

    @property
    def counters_folder(self) -> Path:
        """Where the web processes of this machine share what they count."""
        return self.home / "run" / "metrics"

    @property
    def valkey_socket(self) -> Path:
        """Unix socket of the embedded Valkey; moved to the temporary folder if too long."""
        path = self.home / "run" / "valkey.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"hamgate-{digest}.sock"

    @property
    def redis_address(self) -> str:
        """URL for redis-py."""
        return self.redis_url or f"unix://{self.valkey_socket}"

    def signing_key(self) -> bytes:
        """Give the secret that signs receipts, making the file of the default once.

        Raises:
            ConfigError: the file cannot be read or written.
        """
        if self.secret:
            return self.secret.encode()
        path = self.home / SECRET_FILES[0]
        try:
            if not path.exists():
                files.write_once(path, secrets.token_urlsafe(48))
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read or make {path}: {error.strerror}") from error

    def previous_signing_key(self) -> bytes | None:
        """Give the secret that signed before the last change; `None` once it is to be forgotten.

        Raises:
            ConfigError: the file cannot be read.
        """
        if self.secret or self.secret_previous:
            return self.secret_previous.encode() or None
        path = self.home / SECRET_FILES[1]
        try:
            return path.read_bytes() if path.exists() else None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error


# Names without the prefix are the ones that hosting platforms and OpenTelemetry already have.
_UNPREFIXED = {"database_url", "redis_url", "trusted_proxies", "otel_exporter_otlp_endpoint"}
VARIABLES: Mapping[str, str] = {
    (name.upper() if name in _UNPREFIXED else f"HAMGATE_{name.upper()}"): name
    for name in Settings.model_fields
}
# Those that may come from a file, and whose value is never shown.
SECRETS = {
    "secret", "secret_previous", "database_url", "redis_url", "oidc_client_secret", "smtp_url",
}  # fmt: skip
_TOGETHER = ("oidc_issuer", "oidc_client_id", "oidc_client_secret")


def from_environ(environ: Mapping[str, str]) -> Settings:
    """Read the settings out of an environment.

    Args:
        environ: usually `os.environ`; an empty value counts as not set.

    Raises:
        ConfigError: unknown `HAMGATE_…` names, bad values, unreadable secret files; all at once.
    """
    faults: list[str] = []
    values: dict[str, str] = {}
    known = {**VARIABLES, **{f"{v}_FILE": n for v, n in VARIABLES.items() if n in SECRETS}}
    for variable, value in environ.items():
        if not value:
            continue
        name = known.get(variable)
        if name is None:
            if variable.startswith("HAMGATE_"):
                close = difflib.get_close_matches(variable, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                faults.append(f"{variable} is not a setting{hint}")
        elif variable not in VARIABLES:
            try:
                values[name] = Path(value).read_text().strip()
            except OSError as error:
                faults.append(f"{variable}: cannot read {value}: {error.strerror}")
        else:
            values[name] = value
    faults += [
        f"HAMGATE_{name.upper()} is too short: at least 32 characters"
        for name in ("secret", "secret_previous")
        if name in values and len(values[name]) < 32
    ]
    names = {name: variable for variable, name in VARIABLES.items()}
    faults += _sign_on_faults(values, names) + _mail_faults(values, names)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        faults.extend(
            f"{names[str(fault['loc'][0])]}: "
            + fault["msg"].removeprefix("Value error, ")
            + ("" if fault["loc"][0] in SECRETS else f", not {fault['input']!r}")
            for fault in error.errors()
        )
    if faults:
        raise ConfigError("the settings are not usable:\n  " + "\n  ".join(faults))
    return settings


def _sign_on_faults(values: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    missing = [name for name in _TOGETHER if not values.get(name)]
    if len(missing) == len(_TOGETHER):
        return []
    faults = []
    if missing:
        told = " and ".join(names[name] for name in missing)
        faults.append(f"{told} missing: sign-in by OpenID needs issuer, client id and secret")
    if "url" in values and not is_secure(values["url"]):
        faults.append("HAMGATE_URL is not https: the provider sends people back to it")
    return faults


def _mail_faults(values: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    if not {"smtp_url", "mail_from"} & values.keys():
        return []
    missing = [names[name] for name in ("smtp_url", "mail_from", "url") if not values.get(name)]
    if not missing:
        return []
    why = "mail needs a server, a sender, and the address that its links lead to"
    return [f"{' and '.join(missing)} missing: {why}"]
