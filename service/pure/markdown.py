"""Markdown: what authors write, as HTML that does no harm on any page.

Pure. The one rule: two independent sieves. The parser knows no HTML, no images and no links but
absolute ones; what it gives then passes a list of allowed tags and attributes.
"""

import threading

import nh3
from cachetools import LRUCache, cached
from markdown_it import MarkdownIt

# Emphasis, code, quotes, lists and links; no headings, which belong to the page.
_RULES = (
    *("paragraph", "fence", "blockquote", "list"),
    *("text", "newline", "escape", "backticks", "emphasis", "link", "autolink", "linkify"),
    *("balance_pairs", "fragments_join", "text_join", "normalize", "block", "inline"),
)
_TAGS = {"p", "br", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
_ATTRIBUTES: dict[str, set[str]] = {"a": {"href"}, "ol": {"start"}, "*": set()}
_SCHEMES = {"http", "https"}
_REL = "nofollow ugc noopener"
# Some thousand comments as most are, two hundred of the longest.
_KEPT_MOST_CHARACTERS = 2_000_000


def _is_absolute(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero", {"html": False, "breaks": True, "linkify": True})
    known = {name for names in parser.get_all_rules().values() for name in names}
    parser.enable([rule for rule in _RULES if rule in known])
    parser.validateLink = _is_absolute  # type: ignore[method-assign]  # their way to say it
    if parser.linkify is not None:
        parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False})
    return parser


_PARSER = _parser()


@cached(LRUCache[str, str](_KEPT_MOST_CHARACTERS, getsizeof=len), lock=threading.Lock())
def render(body: str) -> str:
    """Give a comment's text as HTML; what was asked for last is kept, as long as there is room.

    Args:
        body: at most 10,000 characters, as `service.api.schemas` sees to: cleaning grows with the
            square of how deep tags are nested, and the parser nests no more than twenty.
    """
    return nh3.clean(
        _PARSER.render(body),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel=_REL,
    )
