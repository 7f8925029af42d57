"""Manifests: text files with a line for each sample."""
