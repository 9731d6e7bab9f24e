"""A fake Alibaba Cloud ECS."""
