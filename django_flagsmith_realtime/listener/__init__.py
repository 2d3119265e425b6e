"""The listener: the only part that makes requests to Flagsmith, and the only writer of snapshots."""
