"""The pooler's memory on disk."""
