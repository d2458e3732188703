"""Fine-tuning jobs: upload, launch once, follow, deploy."""
