"""The console for operators: pages, login, status, probes, metrics."""
