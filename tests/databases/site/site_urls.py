"""A view, and the application that serves it."""

import sys

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path


def ask(request):
    """Who asks the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return HttpResponse(cursor.fetchone()[0].partition("@")[0])


def server_error(request):
    """The error, for whoever reads why a test failed."""
    return HttpResponse(repr(sys.exc_info()[1]), status=500)


handler500 = server_error
urlpatterns = [path("", ask)]
application = get_wsgi_application()
