"""`python -m tests.deploy.holding`: a worker at its worst moment, for as long as one likes.

It has claimed comments, the claim is not committed, and it does nothing more.
"""

import os
import sys
import time

from service.base import config
from tests.cast import open_ledger
from workers import classification


def main() -> None:
    settings = config.from_environ(os.environ)
    most, lease = settings.classify_batch, settings.classify_lease_seconds
    ledger = open_ledger(settings)
    print("ready", flush=True)
    sys.stdin.readline()
    while True:
        with ledger.transaction() as session:
            if claimed := classification.claim(session, most, lease):
                print(len(claimed), flush=True)
                time.sleep(600)
        time.sleep(0.001)


if __name__ == "__main__":
    main()
