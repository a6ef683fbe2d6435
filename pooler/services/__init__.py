"""What a pooler does, over ports: watch blocks, have farmers assigned, search, submit, report."""
