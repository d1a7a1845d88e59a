"""Ports: checks that the servers' addresses are free before any process is started."""

from __future__ import annotations

import errno
import socket

from service import settings
from service.runtime.supervise import CannotRun
from service.settings import Settings


def with_port(config: Settings) -> Settings:
    """The settings with a free port for the web: the one that is set, or any when that is 0.

    Raises `CannotRun`.
    """
    listen = _free(config.listen, "DATELINE_LISTEN")
    if listen == config.listen:
        return config
    public = {} if "public_url" in config.model_fields_set else {"public_url": settings.url_of(listen)}
    return config.model_copy(update={"listen": listen} | public)


def with_feeds_port(config: Settings) -> Settings:
    """The same for the feeds server, if it has an address."""
    if not config.feeds_listen:
        return config
    return config.model_copy(update={"feeds_listen": _free(config.feeds_listen, "DATELINE_FEEDS_LISTEN")})


def _free(listen: str, name: str) -> str:
    host, port = settings.host_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotRun(_bind_trouble(listen, port, name, error)) from None
        return f"{listen.rpartition(':')[0]}:{probe.getsockname()[1]}"


def _bind_trouble(listen: str, port: int, name: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        other = f"{listen.rpartition(':')[0]}:{port + 1 if port < 65535 else 0}"
        choose = f"--listen {other}" if name == "DATELINE_LISTEN" else f"{name}={other}"
        return f"another program already listens on {listen}; end it, or choose: {choose}"
    if error.errno == errno.EACCES:
        return f"only root may listen on port {port}; choose one above 1023 and put a proxy before it"
    return f"cannot listen on {listen}: {error.strerror or error}; see {name}"
