"""A local Stellar ledger with a KALE farm on it: real contract engine, Stellar RPC in front, nothing to install."""
