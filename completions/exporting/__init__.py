"""Completions that become files: what a line says, how it is written, and the operation that writes it."""
