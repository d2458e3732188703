"""From frozen completions to a file that can be trained on or measured with."""
