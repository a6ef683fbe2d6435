"""`python -m devnet` is `kale-devnet`."""

from devnet.cli import main

if __name__ == "__main__":
    main()
