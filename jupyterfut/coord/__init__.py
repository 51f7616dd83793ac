"""Coordination between tasks, workers and kernels: queues, variables, locks, events, semaphores, publish and subscribe."""
