"""The one process that follows Flagsmith: stream, requests, publishing, and what it tells of itself."""
