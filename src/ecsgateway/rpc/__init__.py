"""The gRPC side: servicers, statuses, health, reflection and the server."""
