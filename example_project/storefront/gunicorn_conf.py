"""How the demo runs gunicorn."""

worker_class = "sync"
loglevel = "warning"
graceful_timeout = 1  # seconds; the demo ends within three
control_socket_disable = True
