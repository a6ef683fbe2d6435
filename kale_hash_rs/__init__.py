"""KALE Pool: kale_hash_rs."""
