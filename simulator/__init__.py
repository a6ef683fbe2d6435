"""The simulator: the real backend in a world of its own, where time, faults and crashes come from one seed."""
