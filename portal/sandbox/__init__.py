"""A stand-in for Azure OpenAI and OpenAI over real HTTP; it knows nothing of the portal."""

from portal.sandbox.sandbox import Sandbox, main

__all__ = ["Sandbox", "main"]
