"""Operations: every act of an operator, once, with its line in the audit. Commands, API and pages call these alone.

The act and its audit line are committed in one transaction, or neither is. An act raises what the module of its noun
raises, and then nothing was changed. `actor` names in the audit who acts.
"""

from __future__ import annotations

from service.store.operations.articles import kill, restore
from service.store.operations.deliveries import replay
from service.store.operations.desk import (
    add_package,
    add_section,
    add_source,
    close_section,
    rename_section,
    reseal,
)
from service.store.operations.feeds import add_feed, revoke_feed, rotate_feed
from service.store.operations.partners import (
    add_endpoint,
    add_partner,
    change_endpoint,
    pause_endpoint,
    resume_endpoint,
    rotate_keys,
    sign_with_ed25519,
    stop_ed25519,
    try_endpoint_now,
)
from service.store.operations.sources import change_source, release_takedowns, retry_hooks

OPERATOR = "operator"  # the actor of whoever has the operator's token, or the machine's own shell

__all__ = [
    "OPERATOR",
    "add_endpoint",
    "add_feed",
    "add_package",
    "add_partner",
    "add_section",
    "add_source",
    "change_endpoint",
    "change_source",
    "close_section",
    "kill",
    "pause_endpoint",
    "release_takedowns",
    "rename_section",
    "replay",
    "reseal",
    "restore",
    "resume_endpoint",
    "retry_hooks",
    "revoke_feed",
    "rotate_feed",
    "rotate_keys",
    "sign_with_ed25519",
    "stop_ed25519",
    "try_endpoint_now",
]
