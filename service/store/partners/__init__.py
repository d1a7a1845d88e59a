"""Partners, their endpoints, their keys, and their catching up."""
