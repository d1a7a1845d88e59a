"""Articles and their revisions: accepting, comparing, answering a repeat."""
