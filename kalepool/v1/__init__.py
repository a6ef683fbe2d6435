"""Generated messages and services of kalepool.v1 (see proto/kalepool/v1)."""
