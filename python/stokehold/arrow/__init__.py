"""Sources over Arrow's memory layout: its files, and the datasets of Hugging Face."""
