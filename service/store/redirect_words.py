"""The words of a redirect: the address that it leads to is the partner's, and may be made of a story's headline.

The whole address stands with the attempt and its delivery, which a kill wipes. Wherever words outlive a delivery (an
endpoint's last failure, notices, the audit) they have the address's host alone.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

# To the last such ending: the partner may have written one into its address.
_TARGET = re.compile(r", a redirect to (.*): redirects are never followed", re.DOTALL)


def without_target(words: str) -> str:
    """The words without the address."""
    return _TARGET.sub(", a redirect: redirects are never followed", words)


def with_host_alone(words: str) -> str:
    """The words with the scheme and host of the address; without it, if it has none."""
    return _TARGET.sub(lambda found: f", a redirect{_host(found[1])}: redirects are never followed", words)


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not re.fullmatch(r"[a-z0-9.-]{1,253}", host):
        return ""
    return f" to {parts.scheme}://{host}{f':{port}' if port else ''}/…"
