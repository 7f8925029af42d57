"""What users bring that is Python code: how it gets to the workers, and what its samples become."""
