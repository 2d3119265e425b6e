"""A stand-in for Flagsmith: one environment, its API, its stream and a page to change the flags on."""
