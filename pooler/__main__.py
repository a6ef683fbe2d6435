"""`python -m pooler`: the same as `kale-pooler`."""

from pooler.cli import main

if __name__ == "__main__":
    main()
