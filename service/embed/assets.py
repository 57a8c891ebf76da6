"""What the widget consists of, read once: each file with its digest, also compressed.

The one rule: the version is a digest of all that is fetched under it, so an address with a version
never has other content.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable

FALLBACK = "en"
_PLACEHOLDER = b"__VERSION__"
_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "json": "application/json"}


@dataclass(frozen=True)
class Asset:
    """A file as it is served."""

    content: bytes
    media_type: str

    @cached_property
    def digest(self) -> str:
        """Changes with the content."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @cached_property
    def packed(self) -> bytes:
        """The content in gzip, always the same for the same content."""
        return gzip.compress(self.content, mtime=0)


@dataclass(frozen=True)
class Bundle:
    """All files of the widget.

    Attributes:
        assets: by file name; `embed.js` knows the version.
        languages: the messages by language, such as `de`.
        version: of all that is served under it.
    """

    assets: dict[str, Asset]
    languages: dict[str, Asset]
    version: str

    @classmethod
    def read(cls, folder: Traversable) -> "Bundle":
        """Read the files of the package."""
        assets = {
            path.name: Asset(path.read_bytes(), _MEDIA_TYPES[path.name.rpartition(".")[2]])
            for part in ("built", "demo", "pages")
            for path in (folder / part).iterdir()
            if path.name.rpartition(".")[2] in _MEDIA_TYPES
        }
        languages = {
            path.name.removesuffix(".json"): _messages(path)
            for path in sorted((folder / "messages").iterdir(), key=lambda path: path.name)
        }
        parts = sorted([*assets.values(), *languages.values()], key=lambda part: part.digest)
        version = hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()[:12]
        embed = assets["embed.js"]
        assets["embed.js"] = Asset(
            embed.content.replace(_PLACEHOLDER, version.encode()), embed.media_type
        )
        return cls(assets, languages, version)

    def messages(self, wanted: str) -> Asset:
        """Give the messages for a language tag (BCP 47), or those that come nearest."""
        tag = wanted.lower()
        while tag:
            if tag in self.languages:
                return self.languages[tag]
            tag = tag.rpartition("-")[0]
        return self.languages[FALLBACK]


def _messages(path: Traversable) -> Asset:
    parsed = json.loads(path.read_bytes())
    compact = json.dumps(parsed, ensure_ascii=False, separators=(",", ":"))
    return Asset(compact.encode(), _MEDIA_TYPES["json"])
