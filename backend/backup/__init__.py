"""Backups by PostgreSQL's own tools: base backups and the write-ahead log, encrypted, verified, pruned, and drilled."""
