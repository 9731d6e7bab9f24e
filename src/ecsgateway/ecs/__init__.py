"""The HTTP side: one signed call to ECS gives a decoded answer or an error."""
