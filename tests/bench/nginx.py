"""nginx beside us: the same bytes, from a file, by what does nothing else."""

import shutil
from dataclasses import dataclass, replace

from tests.bench.intake import loaded
from tests.bench.reading import CONNECTIONS, publish, thread
from tests.bench.servers import Stage

_COMMENTS = 50


@dataclass(frozen=True, slots=True)
class Nginx:
    """Reading what a thread of fifty comments is answered with, as a file of nginx's."""

    name: str = "nginx-50"
    table: str = "reading"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds.

        Raises:
            RuntimeError: there is no nginx.
        """
        program = shutil.which("nginx")
        if program is None:
            raise RuntimeError("there is no nginx on the PATH")
        with stage.parts("sqlite") as ours:
            publish(ours, _COMMENTS)
            _, answer = thread(ours).fetch()
        with stage.nginx(program, answer) as here:
            target = replace(here.target, path="/thread.json", method="GET")
            figures, _ = loaded(here, replace(target, connections=CONNECTIONS), seconds)
            return figures
