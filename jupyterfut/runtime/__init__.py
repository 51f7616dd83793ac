"""The shells around the machines: servers, processes, threads. They decode, call `handle`, perform each effect, and decide nothing."""
