"""Alembic's entry: the connection and its transaction are the caller's (`service.store.migrations.migrate`)."""

from alembic import context

from service.store.schema import feeds, sources
from service.store.schema.base import metadata

_ = feeds, sources  # whose tables are known by having been read
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
