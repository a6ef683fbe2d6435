"""Pure rules of a pooler: what it searches for, when it submits, what it reports. No clock, no network, no disk."""
