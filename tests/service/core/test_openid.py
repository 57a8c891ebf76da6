"""The OpenID provider as Hamgate sees it: what is asked, and what is not believed."""

import base64
import contextlib
import gzip
import hmac
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Response
from joserfc import jwt
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from service.base import config
from service.base.config import Settings
from service.base.errors import ConfigError, ProviderFault
from service.core.moderators import Claimed, Way
from service.core.openid import Provider
from service.operations import doctor
from tests.provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    KEY,
    Claims,
    TestProvider,
    query_of,
    running_provider,
    sign,
)
from tests.system import free_port

ADA: Claims = {"sub": "248289761001", "email": "ada@example.org", "email_verified": True}
CALLBACK = "http://localhost:8000/dashboard/sign-in/callback"


@pytest.fixture
def theirs() -> Iterator[TestProvider]:
    with running_provider() as provider:
        provider.person = dict(ADA)
        yield provider


@pytest.fixture
def ours(theirs: TestProvider) -> Provider:
    return Provider(config.from_environ(theirs.environ()))


def go(ours: Provider, theirs: TestProvider, way: Way | None = None) -> Claimed:
    """Go the whole way, and give who it was."""
    way = way or Way.begin()
    back = query_of(theirs.visit(ours.address(way)))
    return ours.identify(way, code=back["code"], issuer=back.get("iss"))


def test_the_provider_says_who_somebody_is(ours: Provider, theirs: TestProvider) -> None:
    assert go(ours, theirs) == Claimed(theirs.issuer, ADA["sub"], "ada@example.org")


def test_the_way_there_names_our_callback_and_no_secret(
    ours: Provider, theirs: TestProvider
) -> None:
    way = Way.begin()

    asked = query_of(ours.address(way))

    assert asked["redirect_uri"] == CALLBACK
    assert (asked["state"], asked["nonce"]) == (way.state, way.nonce)
    assert way.verifier not in asked.values()


def test_a_code_is_of_no_use_without_what_the_way_began_with(
    ours: Provider, theirs: TestProvider
) -> None:
    back = query_of(theirs.visit(ours.address(Way.begin())))

    with pytest.raises(ProviderFault, match="invalid_grant"):
        ours.identify(Way.begin(), code=back["code"], issuer=theirs.issuer)


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_counts_only_if_the_provider_verified_it(
    ours: Provider, theirs: TestProvider, verified: object
) -> None:
    theirs.person["email_verified"] = verified

    assert go(ours, theirs).email is None


def test_the_address_may_be_in_userinfo_alone(ours: Provider, theirs: TestProvider) -> None:
    theirs.kept = False

    assert go(ours, theirs).email == "ada@example.org"


@pytest.mark.parametrize("email", ["a\x00da@example.org", "ada\ud800@example.org", 7, ["x"]])
def test_an_address_that_cannot_be_one_does_not_count(
    ours: Provider, theirs: TestProvider, email: object
) -> None:
    theirs.person["email"] = email
    theirs.kept = False

    assert go(ours, theirs) == Claimed(theirs.issuer, ADA["sub"], None)


def test_userinfo_of_somebody_else_is_refused(ours: Provider, theirs: TestProvider) -> None:
    theirs.kept = False
    theirs.lie = lambda claims: {**claims, "sub": "another"}

    with pytest.raises(ProviderFault, match="somebody else's"):
        go(ours, theirs)


def with_(**changed: Any) -> Callable[[Claims], Claims]:
    """Change claims; `None` leaves one out."""

    def lie(claims: Claims) -> Claims:
        return {k: v for k, v in {**claims, **changed}.items() if v is not None}

    return lie


# What is wrong with a token → the claims, and the word by which it is refused.
LIES: dict[str, tuple[Callable[[Claims], Claims], str]] = {
    "nonce of another way": (with_(nonce="another"), "'nonce'"),
    "no nonce": (with_(nonce=None), "'nonce'"),
    "another audience": (with_(aud="somebody-else"), "'aud'"),
    "another audience in a list": (with_(aud=["somebody-else"]), "'aud'"),
    "no audience": (with_(aud=None), "'aud'"),
    "many audiences, for whom is not said": (with_(aud=[CLIENT_ID, "other"]), "'azp'"),
    "many audiences, for another": (with_(aud=[CLIENT_ID, "other"], azp="other"), "'azp'"),
    "for another": (with_(azp="other"), "'azp'"),
    "another issuer": (with_(iss="https://evil.example"), "'iss'"),
    "the issuer with a slash": (lambda claims: {**claims, "iss": claims["iss"] + "/"}, "'iss'"),
    "no issuer": (with_(iss=None), "'iss'"),
    "expired": (with_(exp=int(time.time()) - 120), "expired"),
    "never expires": (with_(exp=None), "'exp'"),
    "expires in words": (with_(exp="tomorrow"), "'exp'"),
    "issued in the future": (with_(iat=int(time.time()) + 86_400), "future"),
    "no time of issue": (with_(iat=None), "'iat'"),
    "not yet good": (with_(nbf=int(time.time()) + 86_400), "not yet valid"),
    "nobody": (with_(sub=None), "'sub'"),
    "an empty name": (with_(sub=""), "`sub`"),
    "a number for a name": (with_(sub=7), "'sub'"),
    "a name too long": (with_(sub="x" * 256), "`sub`"),
    "a name that cannot be stored": (with_(sub="a\x00b"), "`sub`"),
    "another access token": (with_(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "'at_hash'"),
}


@pytest.mark.parametrize(("lie", "refused_by"), LIES.values(), ids=LIES.keys())
def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    ours: Provider, theirs: TestProvider, lie: Callable[[Claims], Claims], refused_by: str
) -> None:
    theirs.lie = lie

    with pytest.raises(ProviderFault, match=refused_by):
        go(ours, theirs)


def _forge(claims: Claims, alg: str, secret: bytes) -> str:
    """Make a token by hand: libraries refuse to."""
    parts = ({"alg": alg, "kid": "one", "typ": "JWT"}, claims)
    text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    mac = hmac.digest(secret, text.encode(), "sha256") if secret else b""
    return f"{text}.{_base64(mac)}"


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def _critical(claims: Claims) -> str:
    return jwt.encode(
        {"alg": "RS256", "kid": "one", "crit": ["odd"], "odd": 1},
        claims,
        KEY,
        registry=JWSRegistry(header_registry={"odd": HeaderParameter("odd", "int")}),
    )


def _encrypted(claims: Claims) -> str:
    """Everybody can make one: the public key encrypts."""
    public = RSAKey.import_key(KEY.as_dict(private=False) | {"use": "enc", "alg": "RSA-OAEP"})
    header = {"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "one"}
    return jwt.encode(header, claims, public, registry=JWERegistry())


def _with_its_own_key(claims: Claims) -> str:
    key = ECKey.generate_key("P-256")
    return jwt.encode({"alg": "ES256", "jwk": key.as_dict(private=False)}, claims, key)


FORGERIES: dict[str, tuple[Callable[[Claims], str], str]] = {
    "not signed": (lambda claims: _forge(claims, "none", b""), "'none' is not allowed"),
    "not signed, in capitals": (lambda claims: _forge(claims, "NONE", b""), "'NONE'"),
    "HS256 with the public key": (
        lambda claims: _forge(claims, "HS256", KEY.as_pem(private=False)),
        "'HS256' is not allowed",
    ),
    "HS256 with the client's secret": (
        lambda claims: _forge(claims, "HS256", CLIENT_SECRET.encode()),
        "'HS256' is not allowed",
    ),
    "signature cut off": (lambda claims: sign(claims).rpartition(".")[0] + ".", "BadSignature"),
    "another's key": (lambda claims: sign(claims, RSAKey.generate_key(2048)), "BadSignature"),
    "a key that it brings along": (_with_its_own_key, "InvalidKeyId"),
    "encrypted and not signed": (_encrypted, "DecodeError"),
    "something critical that nobody knows": (_critical, "odd"),
    "no token": (lambda claims: "", "DecodeError"),
    "not a token": (lambda claims: "nonsense", "DecodeError"),
}


@pytest.mark.parametrize(("forgery", "refused_by"), FORGERIES.values(), ids=FORGERIES.keys())
def test_an_id_token_that_the_provider_did_not_sign_is_refused(
    ours: Provider, theirs: TestProvider, forgery: Callable[[Claims], str], refused_by: str
) -> None:
    _publish(theirs, KEY, RSAKey.generate_key(2048, {"kid": "two"}))
    theirs.signed = forgery

    with pytest.raises(ProviderFault, match=refused_by):
        go(ours, theirs)


def test_a_key_that_came_with_a_change_at_the_provider_counts_at_once(
    ours: Provider, theirs: TestProvider
) -> None:
    go(ours, theirs)
    new = ECKey.generate_key("P-256", {"kid": "two"})
    _publish(theirs, KEY, new)
    theirs.signed = lambda claims: jwt.encode({"alg": "ES256", "kid": "two"}, claims, new)

    assert go(ours, theirs).subject == ADA["sub"]


def test_a_symmetric_key_among_the_published_ones_verifies_nothing(
    ours: Provider, theirs: TestProvider
) -> None:
    secret = OctKey.generate_key(256, {"kid": "one"})
    published = {"keys": [secret.as_dict(private=True)]}
    theirs.answers["/keys"] = lambda: _json(published)
    theirs.signed = lambda claims: _forge(claims, "HS256", secret.raw_value)

    with pytest.raises(ProviderFault, match="No keys"):
        go(ours, theirs)


def _publish(theirs: TestProvider, *keys: RSAKey | ECKey) -> None:
    published = {"keys": [key.as_dict(private=False) for key in keys]}
    theirs.answers["/keys"] = lambda: _json(published)


def _json(value: object) -> Response:
    return Response(json.dumps(value), mimetype="application/json")


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
def test_an_answer_that_another_provider_gave_gets_no_code(
    ours: Provider, theirs: TestProvider, issuer: str | None
) -> None:
    """Mix-up (RFC 9207): the code of one provider must not be shown to another."""
    theirs.back["iss"] = issuer

    with pytest.raises(ProviderFault, match="another provider's"):
        go(ours, theirs)
    assert "/token" not in theirs.asked


def test_a_provider_that_does_not_name_itself_in_answers_need_not(
    ours: Provider, theirs: TestProvider
) -> None:
    theirs.metadata["authorization_response_iss_parameter_supported"] = False
    theirs.back["iss"] = None

    assert go(ours, theirs).subject == ADA["sub"]


def test_a_provider_may_want_the_secret_in_the_body(ours: Provider, theirs: TestProvider) -> None:
    theirs.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]

    assert go(ours, theirs).subject == ADA["sub"]


METADATA = {
    "another issuer": {"issuer": "https://evil.example"},
    "no issuer": {"issuer": None},
    "keys over http": {"jwks_uri": "http://evil.example/keys"},
    "a script": {"authorization_endpoint": "javascript:alert(1)"},
    "no place for tokens": {"token_endpoint": None},
    "no client secret taken": {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
}


@pytest.mark.parametrize("changed", METADATA.values(), ids=METADATA.keys())
def test_a_discovery_document_that_cannot_be_right_is_refused(
    ours: Provider, theirs: TestProvider, changed: Claims
) -> None:
    theirs.metadata = changed

    with pytest.raises(ProviderFault):
        go(ours, theirs)


def test_userinfo_over_http_is_not_asked(ours: Provider, theirs: TestProvider) -> None:
    theirs.kept = False
    theirs.metadata["userinfo_endpoint"] = "http://evil.example/userinfo"

    assert go(ours, theirs).email is None


ANSWERS: dict[str, Callable[[], Response]] = {
    "an error": lambda: Response("", 500),
    "a redirect": lambda: Response("", 302, {"Location": "/moved"}),
    "a page": lambda: Response("<p>Under maintenance</p>"),
    "a list": lambda: _json([1, 2]),
    "too much": lambda: _json({"keys": ["x" * 300_000]}),
    "too deep": lambda: Response("[" * 100_000),
    "compressed": lambda: Response(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}),
    "not UTF-8": lambda: Response(b"\xff\xfe{"),
    "no keys": lambda: _json({"keys": []}),
    "keys that are none": lambda: _json({"keys": [7, {}, {"kty": "RSA"}, {"kty": ["RSA"]}]}),
    "a key that is broken": lambda: _json({"keys": [{"kty": "RSA", "n": "!", "e": 5}]}),
    "an error code of a kind": lambda: _json({"error": ["odd"]}),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/keys"])
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_the_provider_answers_is_one_kind_of_fault(
    ours: Provider, theirs: TestProvider, path: str, answer: Callable[[], Response]
) -> None:
    theirs.answers[path] = answer

    with pytest.raises(ProviderFault):
        go(ours, theirs)
    assert "/moved" not in theirs.asked


@pytest.mark.parametrize("odd", [-1, ["x"], {"a": 1}, float("inf")])
@pytest.mark.parametrize("name", ["token_type", "expires_in", "expires_at", "id_token", "error"])
def test_whatever_form_a_token_has_it_is_one_kind_of_fault(
    ours: Provider, theirs: TestProvider, name: str, odd: object
) -> None:
    theirs.kept = False  # so that the access token is needed too
    theirs.token = {name: odd}

    with pytest.raises(ProviderFault):
        go(ours, theirs)


@pytest.mark.parametrize("odd", [7, ["x"], [[1]], {"a": 1}])
@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "nonce", "azp", "at_hash"])
def test_whatever_form_a_claim_has_it_is_one_kind_of_fault(
    ours: Provider, theirs: TestProvider, name: str, odd: object
) -> None:
    theirs.lie = with_(**{name: odd})

    with pytest.raises(ProviderFault):
        go(ours, theirs)


@pytest.mark.parametrize("drop", [b"X", b"X: y\r\n"], ids=["one header", "many headers"])
def test_a_provider_that_answers_drop_by_drop_is_left_in_time(
    theirs: TestProvider, drop: bytes
) -> None:
    """No single wait is long enough for a time-out of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        issuer = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = config.from_environ({**theirs.environ(), "HAMGATE_OIDC_ISSUER": issuer})
        threading.Thread(target=_drip, args=(server, drop), daemon=True).start()

        with pytest.raises(ProviderFault, match="takes too long"):
            Provider(settings, most_seconds=1).address(Way.begin())


def _drip(server: socket.socket, drop: bytes) -> None:
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):  # who asked has gone: the end of the test
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(drop)
            time.sleep(0.05)


def test_a_provider_that_is_down_is_a_fault(theirs: TestProvider) -> None:
    down = {**theirs.environ(), "HAMGATE_OIDC_ISSUER": f"http://127.0.0.1:{free_port()}"}

    with pytest.raises(ProviderFault, match="Connect"):
        Provider(config.from_environ(down)).address(Way.begin())


def test_a_provider_that_hangs_is_a_fault_and_takes_few_threads(theirs: TestProvider) -> None:
    arrived, done = threading.Event(), threading.Event()

    def hang() -> Response:
        arrived.set()
        done.wait(60)
        return Response("", 500)

    theirs.answers["/.well-known/openid-configuration"] = hang
    ours = Provider(config.from_environ({**theirs.environ(), "HAMGATE_WEB_THREADS": "7"}))
    faults: list[Exception] = []

    def wait() -> None:
        try:
            ours.address(Way.begin())
        except ProviderFault as error:
            faults.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert arrived.wait(20)

    with pytest.raises(ProviderFault, match="too many"):
        ours.address(Way.begin())
    waiting.join(30)
    done.set()

    assert [type(error) for error in faults] == [ProviderFault]
    assert "Timeout" in str(faults[0])


def test_a_fault_tells_the_log_no_secret(ours: Provider, theirs: TestProvider) -> None:
    tokens: list[str] = []

    def expired(claims: Claims) -> str:
        tokens.append(sign({**claims, "exp": 1}))
        return tokens[0]

    theirs.signed = expired
    way = Way.begin()
    back = query_of(theirs.visit(ours.address(way)))

    with pytest.raises(ProviderFault) as caught:
        ours.identify(way, code=back["code"], issuer=theirs.issuer)

    secrets = (tokens[0], back["code"], way.verifier, way.nonce, "a secret", "an-access-token")
    assert not any(secret in str(caught.value) for secret in secrets)


def test_the_doctor_looks_at_the_provider_if_one_is_set(
    theirs: TestProvider, make_settings: Callable[..., Settings]
) -> None:
    def checks(**environ: str) -> dict[str, doctor.Finding]:
        return {one.check: one for one in doctor.examine(make_settings(**environ))}

    assert "sign-on" not in checks()
    assert checks(**theirs.environ())["sign-on"].grade is doctor.Grade.OK

    theirs.metadata["issuer"] = "https://elsewhere.example"
    found = checks(**theirs.environ())["sign-on"]

    assert found.grade is doctor.Grade.FAIL
    assert "elsewhere.example" in found.message
    assert "HAMGATE_OIDC_ISSUER" in found.remedy


SET = {
    "HAMGATE_OIDC_ISSUER": "https://id.example.org/realms/parish",
    "HAMGATE_OIDC_CLIENT_ID": "hamgate",
    "HAMGATE_OIDC_CLIENT_SECRET": "hunter2",
}


@pytest.mark.parametrize("left_out", SET)
def test_issuer_client_and_secret_go_together(left_out: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.from_environ({name: value for name, value in SET.items() if name != left_out})

    assert f"{left_out} missing" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "issuer",
    ["http://id.example.org", "id.example.org", "https://", "https://id.example.org/?x=1",
     "https://me@id.example.org", "ftp://localhost", "http://localhost.example.org",
     "https://id.example.org:port", "https://id.example.org/" + "x" * 500],
)  # fmt: skip
def test_an_issuer_is_https_or_this_machine(issuer: str) -> None:
    with pytest.raises(ConfigError, match="HAMGATE_OIDC_ISSUER"):
        config.from_environ({**SET, "HAMGATE_OIDC_ISSUER": issuer})


def test_the_way_back_is_https_or_this_machine() -> None:
    with pytest.raises(ConfigError, match="HAMGATE_URL is not https"):
        config.from_environ({**SET, "HAMGATE_URL": "http://comments.example.org"})

    config.from_environ({"HAMGATE_URL": "http://comments.example.org"})
    for url in ("https://comments.example.org", "http://127.0.0.1:8000"):
        config.from_environ({**SET, "HAMGATE_URL": url})


@pytest.mark.parametrize(
    "issuer", ["http://localhost:9000", "http://[::1]:9000", "https://id.example.org/o/parish/"]
)
def test_an_issuer_is_kept_letter_by_letter(issuer: str) -> None:
    assert config.from_environ({**SET, "HAMGATE_OIDC_ISSUER": issuer}).oidc_issuer == issuer


@pytest.mark.parametrize(("set_up", "loaded"), [({}, False), (SET, True)])
def test_authlib_is_loaded_only_where_a_provider_is_set(
    set_up: dict[str, str], loaded: bool
) -> None:
    program = (
        "import sys; from service import app; from service.base import config;"
        f"app.create_app(config.from_environ({set_up!r}));"
        "print('authlib' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout.strip() == str(loaded)
