"""Pages of datasets, Distill, fine-tunes, deployments and evaluations."""
