"""The software's version: one for wheel, crates and services (tests/packaging holds them together)."""

VERSION = "0.1.0"
