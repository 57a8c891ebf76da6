"""The operator's OpenID provider: the way there, and what it says of who comes back.

The one rule: nothing the provider sends is believed before it is checked, and nothing of it is
waited for, read or followed without a limit. The only module of the web processes that asks
another server; the address is the operator's, never a stranger's. It is imported only where the
settings name a provider.
"""

import asyncio
import contextlib
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, ValidationError

from service.base.config import Settings
from service.base.errors import ProviderFault
from service.base.values import is_secure
from service.core.moderators import Claimed, Way
from service.pure import text

# Signatures that only the provider can make: no `none`, and no HMAC, whose key verifies and signs.
_ALGORITHMS = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
]
_CLIENT_AUTH = ("client_secret_basic", "client_secret_post")
_KEY_TYPES = ("RSA", "EC", "OKP")
_ANSWER_MOST_BYTES = 256 * 1024
_WAIT = httpx2.Timeout(5, connect=3)
_TURN_MOST_SECONDS = 15
_LEEWAY_SECONDS = 60
_REMEMBER_SECONDS = 60
_SUBJECT_MOST = 255  # OpenID Connect Core section 2
# Of the web threads: a provider that hangs must not take those that serve everybody else.
_SHARE_AT_ONCE = 1 / 4
_T = TypeVar("_T")


class _Metadata(BaseModel):
    """What the discovery document has to say (OpenID Connect Discovery section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]
    authorization_response_iss_parameter_supported: bool = False

    def client_auth(self) -> str:
        """Give how we show that we are the client: in a header if that is taken."""
        for method in _CLIENT_AUTH:
            if method in self.token_endpoint_auth_methods_supported:
                return method
        raise ProviderFault("it takes no client secret")


class Provider:
    """One OpenID provider, as one web process knows it.

    Args:
        settings: name it.
        most_seconds: how long a turn with it may take, whatever it answers meanwhile.
    """

    def __init__(self, settings: Settings, *, most_seconds: float = _TURN_MOST_SECONDS) -> None:
        self._issuer = settings.oidc_issuer or ""
        self._client_id = settings.oidc_client_id
        self._client_secret = settings.oidc_client_secret
        self._redirect_uri = f"{settings.public_url}/dashboard/sign-in/callback"
        # The system's certificates, so that a company's own authority is believed as elsewhere.
        self._tls = ssl.create_default_context()
        self._turns = threading.BoundedSemaphore(max(1, int(settings.web_threads * _SHARE_AT_ONCE)))
        self._most_seconds = most_seconds
        self._known: tuple[float, _Metadata] | None = None

    def address(self, way: Way) -> str:
        """Give the address at the provider to which to send a browser.

        Raises:
            ProviderFault: the provider does not say where.
        """

        async def ask(client: AsyncOAuth2Client) -> str:
            url, _ = client.create_authorization_url(
                (await self._metadata(client)).authorization_endpoint,
                state=way.state,
                nonce=way.nonce,
                code_verifier=way.verifier,
            )
            return str(url)

        return self._turn(ask)

    def identify(self, way: Way, *, code: str, issuer: str | None) -> Claimed:
        """Ask the provider who came back, and check what it says.

        Args:
            way: that the browser was sent.
            code: that it came back with.
            issuer: who it says sent it back, if it does (RFC 9207).

        Raises:
            ProviderFault: it does not answer, refuses, or is not to be believed.
        """

        async def ask(client: AsyncOAuth2Client) -> Claimed:
            metadata = await self._metadata(client)
            required = metadata.authorization_response_iss_parameter_supported
            if issuer != self._issuer and (issuer is not None or required):
                raise ProviderFault("another provider's answer")
            client.token_endpoint_auth_method = metadata.client_auth()
            token = await client.fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=way.verifier,
            )
            keys = _signing_keys(await self._fetch(client, metadata.jwks_uri))
            claims = self._checked(token, keys, way.nonce)
            if "email" not in claims and metadata.userinfo_endpoint is not None:
                claims |= await self._userinfo(client, metadata.userinfo_endpoint, claims["sub"])
            return Claimed(self._issuer, claims["sub"], _verified_email(claims))

        return self._turn(ask)

    def look(self) -> None:
        """See whether the provider can be used.

        Raises:
            ProviderFault: it cannot; says why.
        """

        async def ask(client: AsyncOAuth2Client) -> None:
            _signing_keys(await self._fetch(client, (await self._metadata(client)).jwks_uri))

        self._turn(ask)

    def _checked(self, token: dict[str, Any], keys: KeySet, nonce: str) -> dict[str, Any]:
        """Give the claims of an ID token (OpenID Connect Core section 3.1.3.7)."""
        registry = JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
        read = jwt.decode(str(token.get("id_token", "")), keys, registry=registry)
        claims = CodeIDToken(
            read.claims,
            read.header,
            {
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "value": self._client_id},
            },
            {
                "nonce": nonce,
                "client_id": self._client_id,
                "access_token": token.get("access_token"),
            },
        )
        claims.validate(leeway=_LEEWAY_SECONDS)
        subject = claims["sub"]
        sound = isinstance(subject, str) and 0 < len(subject) <= _SUBJECT_MOST
        if not sound or text.unstorable(subject):
            raise ProviderFault("no usable `sub`")
        return dict(claims)

    async def _userinfo(self, client: AsyncOAuth2Client, url: str, subject: str) -> dict[str, Any]:
        """Give the address, where the ID token has none (OpenID Connect Core section 5.3)."""
        told = await self._fetch(client, url, withhold_token=False)
        if told.get("sub") != subject:
            raise ProviderFault("its userinfo is somebody else's")
        return {name: told[name] for name in ("email", "email_verified") if name in told}

    async def _metadata(self, client: AsyncOAuth2Client) -> _Metadata:
        if self._known is not None and self._known[0] > time.monotonic():
            return self._known[1]
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        found = _Metadata.model_validate(await self._fetch(client, url))
        if found.issuer != self._issuer:
            raise ProviderFault(f"it calls itself {found.issuer!r}, not {self._issuer!r}")
        for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
            if not is_secure(address):
                raise ProviderFault(f"{address!r} is not https")
        if found.userinfo_endpoint is not None and not is_secure(found.userinfo_endpoint):
            found.userinfo_endpoint = None
        self._known = (time.monotonic() + _REMEMBER_SECONDS, found)
        return found

    async def _fetch(
        self, client: AsyncOAuth2Client, url: str, *, withhold_token: bool = True
    ) -> dict[str, Any]:
        answer = await client.request("GET", url, withhold_token=withhold_token)
        if answer.status_code != 200:
            raise ProviderFault(f"{url} answered {answer.status_code}")
        read = answer.json()
        if not isinstance(read, dict):
            raise ProviderFault(f"{url} gave no JSON object")
        return read

    def _turn(self, ask: Callable[[AsyncOAuth2Client], Awaitable[_T]]) -> _T:
        if not self._turns.acquire(blocking=False):
            raise ProviderFault("too many are waiting for it")
        try:
            with _one_kind_of_fault():
                return asyncio.run(self._asked(ask))
        finally:
            self._turns.release()

    async def _asked(self, ask: Callable[[AsyncOAuth2Client], Awaitable[_T]]) -> _T:
        # Asynchronous for this alone: whatever drips in, be it a header, the turn ends in time.
        async with asyncio.timeout(self._most_seconds):
            # A client of this turn's own: it keeps the token that it was given.
            async with AsyncOAuth2Client(
                client_id=self._client_id,
                client_secret=self._client_secret,
                redirect_uri=self._redirect_uri,
                scope="openid email",
                code_challenge_method="S256",
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                timeout=_WAIT,
                transport=_Bounded(httpx2.AsyncHTTPTransport(verify=self._tls, trust_env=False)),
                trust_env=False,
            ) as client:
                return await ask(client)


class _Bounded(httpx2.AsyncBaseTransport):
    """Reads an answer whole, as far as it is short and not compressed."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        read = bytearray()
        try:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise ProviderFault("it compresses what was asked for plain")
            async for chunk in answer.aiter_raw():
                read += chunk
                if len(read) > _ANSWER_MOST_BYTES:
                    raise ProviderFault("its answer is too long")
        finally:
            await answer.aclose()
        return httpx2.Response(answer.status_code, headers=answer.headers, content=bytes(read))

    async def aclose(self) -> None:
        await self._inner.aclose()


@contextlib.contextmanager
def _one_kind_of_fault() -> Iterator[None]:
    try:
        yield
    except OAuthError as error:
        raise ProviderFault(f"it answered {text.one_line(str(error.error), 60)}") from error
    except ValidationError as error:
        fields = ", ".join(str(fault["loc"][0]) for fault in error.errors() if fault["loc"])
        raise ProviderFault(f"its discovery document lacks {fields}") from error
    except TimeoutError as error:
        raise ProviderFault("it takes too long") from error
    except (
        *(httpx2.HTTPError, httpx2.InvalidURL, JoseError, ValueError, RecursionError),
        # What the libraries make of a number or a list where the standards have a text.
        *(TypeError, AttributeError, ArithmeticError, LookupError),
    ) as error:
        first_line = str(error).partition("\n")[0]
        raise ProviderFault(f"{type(error).__name__}: {first_line}") from error


def _verified_email(claims: dict[str, Any]) -> str | None:
    email = claims.get("email")
    if claims.get("email_verified") is not True or not isinstance(email, str):
        return None
    return None if text.unstorable(email) else email


def _signing_keys(found: dict[str, Any]) -> KeySet:
    """Give the keys with which the provider signs, of all that it publishes."""
    published = found.get("keys")
    if not isinstance(published, list):
        raise ProviderFault("its key set has no keys")
    usable = [
        key
        for key in published
        if isinstance(key, dict) and key.get("kty") in _KEY_TYPES and key.get("use") != "enc"
    ]
    return KeySet.import_key_set({"keys": usable})
