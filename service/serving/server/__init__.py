"""The feeds server: the code that builds on uvicorn's internals, apart from all other code."""
