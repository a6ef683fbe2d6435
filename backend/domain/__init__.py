"""Pure states and rules: no clock, no network, no database."""
