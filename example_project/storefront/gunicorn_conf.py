"""How the demo runs gunicorn."""

worker_class = "sync"
loglevel = "warning"
graceful_timeout = 1  # seconds
control_socket_disable = True
