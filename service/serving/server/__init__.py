"""The feeds server: uvicorn's insides, and what builds on them, kept apart from all else."""
