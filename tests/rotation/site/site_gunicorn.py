"""How gunicorn serves the site: every worker imports the settings itself, so HUP is a deployment.

What takes long to import and reads no settings is imported here already, in the parent.
"""

import boto3  # noqa: F401
import botocore.endpoint  # noqa: F401
import cryptography.hazmat.primitives.ciphers.algorithms  # noqa: F401
import django.contrib.auth.hashers
import django.core.handlers.wsgi
import django.db.backends.sqlite3.base
import django.forms
import django.views.debug  # noqa: F401

wsgi_app = "site_urls:application"
preload_app = False
worker_class = "gthread"
workers = 1
threads = 2
keepalive = 0
timeout = 30
graceful_timeout = 5
control_socket_disable = True
errorlog = "-"
