"""A whole cluster in one thread, from one seed: the project's own test bench, and that of people who write plugins.

`world` puts the three machines together over a simulated `network`; `workload` writes random programs and `faults` random blows; `oracle` knows what
plain Python would give and demands it; `replay` tells the story of a seed that failed. `python -m jupyterfut.sim --seeds 1000` runs some.
"""
