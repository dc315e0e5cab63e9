"""Both kinds of sessions that the key protects, in one site."""

from importlib import import_module

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest


class Sessions(SessionMiddleware):
    """Django's own, but each client says which of Django's engines keeps its session."""

    def process_request(self, request: HttpRequest) -> None:
        engine = request.headers.get("X-Sessions", "db")
        store = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
        request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
