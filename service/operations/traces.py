"""Traces: whether a collector is told what happens, and by which object of this process.

The one rule: who asks for no traces pays for none. Without a collector nothing that tells it is
imported, and what would be told costs one look at `current`.
"""

from typing import TYPE_CHECKING

from service.base.config import Settings

if TYPE_CHECKING:
    from service.operations.spans import Spans

_current: "Spans | None" = None


def prepare(settings: Settings) -> None:
    """Import before processes are forked what each of them would import by itself."""
    if settings.otel_exporter_otlp_endpoint is not None:
        from service.operations import spans

        spans.warm_up()


def begin(settings: Settings, process: str) -> None:
    """Tell the collector what this process does from now on, if there is a collector.

    After the process was forked: spans are sent by a thread of its own.

    Args:
        settings: say where the collector is.
        process: which of ours this is: `web`, `worker`, `courier`.
    """
    global _current
    if settings.otel_exporter_otlp_endpoint is not None:
        from service.operations.spans import Spans

        _current = Spans(settings.otel_exporter_otlp_endpoint, process)


def current() -> "Spans | None":
    """Give what tells the collector; `None` if there is none."""
    return _current


def end() -> None:
    """Send what is left, for a second at most; what it does not suffice for is lost."""
    global _current
    if _current is not None:
        _current.close()
        _current = None
