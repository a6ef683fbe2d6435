"""KALE Pool: backend."""

import os

# gRPC has no switch for the least version of TLS, and reads this when it is imported, hence here. The key of the
# poolers' port is one of ECDSA: with nothing but a suite for RSA keys left to TLS 1.2, no handshake of that version
# succeeds, while TLS 1.3 has suites of its own. backend.api.peers looks at the version again.
os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384")
