"""Options that people bring along from dask.distributed: those that have a meaning here keep it, the others are no errors."""

from __future__ import annotations

import pytest

from jupyterfut import Client, LocalCluster, default_client


def test_names_of_a_cluster_s_options() -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, ip="127.0.0.1", scheduler_port=0, dashboard_address=":0", silence_logs=50, worker_dashboard_address=None
    ) as cluster, Client(cluster, direct_to_workers=True, heartbeat_interval="5s") as client:  # fmt: skip
        assert client.submit(abs, -1).result() == 1


def test_a_client_that_starts_a_cluster_passes_them_on() -> None:
    with Client(processes=False, dashboard_address=None, serializers=["pickle"]) as client:
        assert client.submit(abs, -1).result() == 1
        assert Client.current() is default_client() is client


def test_a_misspelt_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="n_workrs"):
        Client(n_workrs=1)


def test_facts_of_so_many_workers() -> None:
    with Client(processes=False, n_workers=3) as client:
        assert len(client.scheduler_info()["workers"]) == 3
        assert len(client.scheduler_info(n_workers=2)["workers"]) == 2
