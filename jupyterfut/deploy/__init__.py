"""Starting and stopping clusters. Below the client: `Client()` uses it, it never uses `Client` (`cluster.get_client` goes through a plugin slot)."""
