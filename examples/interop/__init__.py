"""The examples, grpcurl and buf curl against a gateway and a fake ECS, over real sockets."""
