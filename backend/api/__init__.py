"""The edge: gRPC servicers and the HTTP routes, both over the same services."""
