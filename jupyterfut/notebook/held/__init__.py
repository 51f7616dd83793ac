"""What a cluster holds for a notebook beyond its kernel's life."""
