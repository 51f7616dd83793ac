"""What is seen of a cluster from outside: viewers, and the dashboard that a scheduler's process serves."""
