"""A view, and the application that serves it."""

from django.core.wsgi import get_wsgi_application
from django.db import connection
from django.http import HttpResponse
from django.urls import path


def ask(request):
    """Who asks the database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return HttpResponse(cursor.fetchone()[0].partition("@")[0])


urlpatterns = [path("", ask)]
application = get_wsgi_application()
