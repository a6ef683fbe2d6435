"""The backend, over gRPC."""
