"""Files that become rows: taken in, looked at, read line by line, and absorbed by an operation."""
