"""What `make bench` runs. Nothing in here is collected by pytest."""
