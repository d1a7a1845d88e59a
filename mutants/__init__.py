"""Mutation tests of the modules that hold the rules: `make mutants`. cosmic-ray does it; `sql` adds faults in SQL."""
