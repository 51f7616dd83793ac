"""Leaves: other libraries' own ways of asking for work, spoken to jupyterfut.

`dask` (collections and graphs), `joblib` (its `Parallel` loops), `concurrent` (a real `concurrent.futures.Executor`). Nothing here is imported before
it is used: `plugins` knows the names, and watches for the imports of dask and joblib as long as there is a client in the process.
"""
