"""/v1: the OpenAI dialect, for official SDKs."""
