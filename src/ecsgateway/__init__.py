"""A gRPC gateway to the Alibaba Cloud ECS operation DescribeImageSharePermission."""
