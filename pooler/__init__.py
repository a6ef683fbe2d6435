"""KALE Pool: pooler."""
