"""KALE Pool: kale_chain."""
