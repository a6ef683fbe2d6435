"""The pool's own certificate authority, in files."""
