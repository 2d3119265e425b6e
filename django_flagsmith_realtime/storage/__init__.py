"""What processes share: in the cache the snapshot, the lease, the status and the history, and the snapshot file."""
