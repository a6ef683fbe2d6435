"""KALE Pool: backend."""
