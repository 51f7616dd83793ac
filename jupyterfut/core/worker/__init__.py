"""The worker's machine: what a worker does with the tasks it is sent, without threads, sockets or clocks. Begin with `machine`."""
