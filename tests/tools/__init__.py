"""What `make soak`, `make probes` and `make screenshots` run."""
