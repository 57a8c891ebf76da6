"""`python -m service.cli`, which is `hamgate`."""

from service.cli import main

main()
