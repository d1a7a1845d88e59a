"""The HTTP server of the web and of the feeds server: httptools parses, one event loop reads and writes."""
