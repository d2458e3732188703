"""A stand-in for Azure OpenAI and OpenAI, over real HTTP: standard library only, knows nothing of the portal."""

from portal.sandbox.sandbox import Sandbox, main

__all__ = ["Sandbox", "main"]
