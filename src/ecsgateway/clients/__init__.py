"""What a client in any language needs: protos, descriptors, service config."""
