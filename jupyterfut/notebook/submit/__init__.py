"""A cell becomes a task: which names it reads and writes, how they travel, and how it runs on a worker."""
