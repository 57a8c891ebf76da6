"""A network that can be bad: a proxy before a server, one for Redis and one for PostgreSQL."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

_CHUNK_BYTES = 65536
# Closed like this, a socket sends a reset in place of a polite end.
_RESET = struct.pack("ii", 1, 0)


class Weather(Enum):
    """What a connection has to go through."""

    CLEAR = auto()
    SLOW = auto()
    DOWN = auto()
    SILENT = auto()
    ONE_WAY = auto()


class Proxy:
    """Stands before a server's socket; what comes over TCP goes on to it as the weather allows.

    An event loop in a thread of its own; its methods may be called from any other.

    Args:
        target: the socket of the server.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._weather = Weather.CLEAR
        self._delay_seconds = 0.0
        self._truncates = False
        self._changed = asyncio.Event()
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(listening.getsockname()[1])
        self._thread.start()
        self._do(lambda: self._loop.create_task(asyncio.start_server(self._serve, sock=listening)))

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._reset_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def slow(self, delay_seconds: float) -> None:
        """Hold up whatever passes."""
        self._delay_seconds = delay_seconds
        self._set(Weather.SLOW)

    def cut(self) -> None:
        """Reset every connection, and every new one."""
        self._set(Weather.DOWN)
        self._do(self._reset_all)

    def silence(self) -> None:
        """Take what is sent, and let nothing through either way."""
        self._set(Weather.SILENT)

    def lose_answers(self) -> None:
        """Let requests through and no answer: what was asked is done, and nobody learns of it."""
        self._set(Weather.ONE_WAY)

    def truncate(self) -> None:
        """Break each open connection off in the middle of its next answer."""

        def begin() -> None:
            self._truncates = True

        self._do(begin)

    def mend(self) -> None:
        """Let everything through again; what was held up silently is gone with its connection."""

        def clear() -> None:
            if self._weather in (Weather.SILENT, Weather.ONE_WAY):
                self._reset_all()
            self._truncates = False
            self._change(Weather.CLEAR)

        self._do(clear)

    def _set(self, weather: Weather) -> None:
        self._do(lambda: self._change(weather))

    def _change(self, weather: Weather) -> None:
        self._weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    def _do(self, act: Callable[[], object]) -> None:
        """Do it in the loop's thread, and wait until it is done."""
        done = threading.Event()

        def work() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(work)
        done.wait()

    def _reset_all(self) -> None:
        for writer, task in self._open.items():
            _reset(writer)
            task.cancel()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[writer] = task
        try:
            while self._weather in (Weather.SILENT, Weather.ONE_WAY):
                await self._changed.wait()
            if self._weather is Weather.DOWN:
                _reset(writer)
                return
            there, onward = await asyncio.open_unix_connection(self._target)
            try:
                # Either end closes both ways: neither Redis nor PostgreSQL closes one alone.
                both = (
                    self._loop.create_task(self._pump(reader, onward, is_answer=False)),
                    self._loop.create_task(self._pump(there, writer, is_answer=True)),
                )
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in both:
                        pump.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
            finally:
                onward.close()
        except (OSError, asyncio.CancelledError):
            _reset(writer)  # the server is not there, or `_reset_all`
        finally:
            self._open.pop(writer, None)
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self._weather is Weather.SLOW:
                    await asyncio.sleep(self._delay_seconds)
                while self._weather is Weather.SILENT or (
                    self._weather is Weather.ONE_WAY and is_answer
                ):
                    await self._changed.wait()
                if self._truncates and is_answer:
                    writer.write(chunk[: len(chunk) // 2])
                    await writer.drain()
                    return
                writer.write(chunk)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
