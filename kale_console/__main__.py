"""`python -m kale_console` is `kale-pool`."""

from kale_console.cli import main

main()
