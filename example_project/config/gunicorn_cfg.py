"""How gunicorn serves the site: `gunicorn config.wsgi:application -c config/gunicorn_cfg.py`."""

import os
import sys
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# The settings are read here already, in the process that gunicorn loads the site in afterwards:
# where a secret is missing, the log ends with a line that says which, and not with a traceback.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
try:
    settings.INSTALLED_APPS  # noqa: B018
except ImproperlyConfigured as error:
    sys.exit("not started: " + " | ".join(str(error).splitlines()))

bind = "127.0.0.1:8000"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# The settings, and so the secrets, are read once in the parent; the workers are copies of it.
# A rotated secret therefore arrives with a restart: HUP keeps the application that is loaded.
preload_app = True

timeout = 30
graceful_timeout = 30

# Workers prove that they live by touching a file: in memory it cannot wait for a disk.
if Path("/dev/shm").is_dir():  # noqa: S108
    worker_tmp_dir = "/dev/shm"  # noqa: S108
# Nothing here uses gunicorn's control socket, and its file would want a writable home.
control_socket_disable = True

errorlog = "-"
accesslog = "-"
# The path without its query string, and no headers: what people typed stays out of the log.
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s %(M)sms'
