"""How the demo runs gunicorn."""

worker_class = "uvicorn_worker.UvicornWorker"
keepalive = 0  # seconds: each request has a connection of its own, so that the shop's page meets each process
loglevel = "warning"
graceful_timeout = 1  # seconds; the demo ends within three
control_socket_disable = True
