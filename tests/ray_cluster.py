"""A real Ray cluster for tests: a head that encodes nothing, and machines that are this one."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

# Bound to 127.0.0.1, quiet, with a token; a machine that dies is missed within a second.
VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "for-tests-alone-0123456789-0123456789-abcdef",
    "RAY_health_check_initial_delay_ms": "200",
    "RAY_health_check_period_ms": "200",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
    # See docs/scale.md: what a client server forks would die now and then.
    "GRPC_ENABLE_FORK_SUPPORT": "0",
    # A driver outside the cluster that is gone is missed after so many seconds.
    "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "8",
    "PYTHONPATH": str(Path(__file__).parents[1]),
}
_STORE = 80_000_000


class Machines:
    """The machines of a cluster, by name."""

    def __init__(self, cluster: Any, client_port: int) -> None:
        self._cluster = cluster
        self._nodes: dict[str, Any] = {}
        self.client_port = client_port

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def need(self, *names: str) -> None:
        """Have these machines there."""
        for name in names:
            if name not in self._nodes:
                self._nodes[name] = self._cluster.add_node(
                    num_cpus=1, num_gpus=0, node_name=name, object_store_memory=_STORE
                )

    def running(self, module: str) -> list[psutil.Process]:
        """Return the processes of a module that the machines run."""
        raylets = [node.all_processes["raylet"][0].process.pid for node in self._nodes.values()]
        return [one for pid in raylets for one in descendants(pid, module)]

    def kill(self, name: str) -> None:
        """Take a machine away, as a power cut does."""
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=False)


@contextlib.contextmanager
def started(variables: dict[str, str]) -> Iterator[Machines]:
    """Start a cluster whose machines have some variables; end it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**variables, **VARIABLES}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster  # reads those variables as it is imported

        port = _free_port()
        head = {
            "num_cpus": 0,
            "num_gpus": 0,
            "include_dashboard": False,
            "node_name": "head",
            "object_store_memory": _STORE,
            "ray_client_server_port": port,
        }
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield Machines(cluster, port)
        finally:
            cluster.shutdown()


def descendants(pid: int, module: str) -> list[psutil.Process]:
    """Return the processes below one that run a module."""
    found = []
    for one in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it is over
            if module in one.cmdline():
                found.append(one)
    return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
