"""`python -m kale_lifeboat` is `kale-lifeboat`."""

from kale_lifeboat.cli import main

main()
