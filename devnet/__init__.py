"""KALE Pool: devnet."""
