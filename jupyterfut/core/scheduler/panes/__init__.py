"""What viewers of a cluster are told: aggregates of what the scheduler knows, made while somebody looks (`watching`)."""
