"""What all processes share through the cache: the snapshot, the lease of the one that leads, its status."""
