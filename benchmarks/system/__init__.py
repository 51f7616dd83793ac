"""jupyterfut side by side with other engines: the same workloads, one after another, each in a fresh process.

`python -m benchmarks.system` reads its options (`__main__`), starts one child process for every workload, repetition and engine (`runner`), where
the workload (`workloads`, `metg`) runs against a small adapter (`engines`), checks its own results, and prints numbers; `report` puts them beside
the targets.
"""
