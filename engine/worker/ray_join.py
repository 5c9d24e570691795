"""Joining a Ray cluster, and words for why that cannot be done."""

from __future__ import annotations

import logging
import secrets
import socket
from typing import Any

from engine.errors import EnvironmentFaultError
from engine.worker.ray_calls import first_line
from engine.worker.ray_messages import CLIENT

log = logging.getLogger("ltx_tui.ray")

# Seconds for a client server to be reached; Ray's client takes half a minute to say that none is.
_KNOCK = 10.0
# A cluster of our own keeps no objects, and no ports that others can reach.
_STORE = 80_000_000
_START = 'start Ray (docs/scale.md has recipes), set scale.address, or use scale.engine = "local"'


def connect(ray: Any, address: str) -> None:
    """Connect to a cluster, or start one on this machine for "local".

    Args:
        ray: The module.
        address: As `scale.address`.

    Raises:
        Exception: It cannot be done; `why_not` knows more.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
    if address == "local":
        ray.init(address="local", include_dashboard=False, object_store_memory=_STORE, **quiet)
        return
    if address.startswith(CLIENT):
        _knock(address)
    try:
        ray.init(address=address, **quiet)
    except ConnectionAbortedError as error:
        # Now and then the process that a client server forks for us dies at once.
        log.warning("the client server let us down, trying once more: %s", _last_line(error))
        ray.init(address=address, **quiet)


def _knock(address: str) -> None:
    """See whether anything listens where a client server should.

    Raises:
        ValueError: The address is not complete.
        OSError: Nothing does.
    """
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not (host and port.isdecimal()):
        raise ValueError("a host and a port are expected, as in ray://host:10001")
    with socket.create_connection((host.strip("[]"), int(port)), _KNOCK):
        pass


def alone() -> dict[str, str]:
    """Return what makes a cluster that we start one of this machine alone."""
    return {
        # The name notwithstanding: this is how Ray is told to listen on 127.0.0.1.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # Other users of this machine do not know the token.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_urlsafe(32),
    }


def why_not(address: str, error: Exception) -> EnvironmentFaultError:
    """Put into words why a cluster cannot be joined."""
    if isinstance(error, OSError) and address.startswith(CLIENT):
        return _why_no_client(address, error)
    if isinstance(error, ConnectionError) and address == "auto":
        return EnvironmentFaultError("no Ray cluster runs on this machine", remedy=_START)
    return EnvironmentFaultError(
        f"cannot join the Ray cluster {address!r}: {first_line(error)}", remedy=_START
    )


def _why_no_client(address: str, error: OSError) -> EnvironmentFaultError:
    if isinstance(error, ConnectionAbortedError):
        return EnvironmentFaultError(
            f"the Ray client server at {address} cannot serve us: {_last_line(error)}",
            remedy="have GRPC_ENABLE_FORK_SUPPORT=0 where Ray is started on the head; see "
            "docs/scale.md, and ray_client_server*.err in /tmp/ray/session_latest/logs there",
        )
    if error.errno is None:  # of Ray, not of our knock
        return EnvironmentFaultError(
            f"what listens at {address} does not answer as a Ray client server: "
            f"{first_line(error)}",
            remedy="name the port of its --ray-client-server-port (10001 if none was given), and "
            "have the cluster's token in RAY_AUTH_TOKEN_PATH here; see docs/scale.md",
        )
    port = address.rpartition(":")[2]
    return EnvironmentFaultError(
        f"no Ray client server answers at {address}: {error.strerror or first_line(error)}",
        remedy=f"start Ray on the head with --ray-client-server-port={port} (it needs grpcio: "
        "pip install 'ltx-tui[ray]' there), and let this machine reach that port; see "
        "docs/scale.md",
    )


def _last_line(error: BaseException) -> str:
    """Return the last line of an error's text, where that is a traceback from elsewhere."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()
