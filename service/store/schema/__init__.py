"""The tables of the record, by part."""
