"""`python -m simulator.planner`."""

from simulator.planner.cli import main

if __name__ == "__main__":
    main()
