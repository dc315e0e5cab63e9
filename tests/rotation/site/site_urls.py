"""The views, and the application that serves them."""

import hashlib
import hmac
import os

from django.conf import settings
from django.contrib.auth import authenticate, login
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path


def log_in(request: HttpRequest) -> HttpResponse:
    """A new session, for who knows the password."""
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("nobody", status=403)
    login(request, user)
    return HttpResponse(user.get_username())


def who(request: HttpRequest) -> HttpResponse:
    """Whose session it is."""
    return HttpResponse(request.user.get_username())


def keys(request: HttpRequest) -> HttpResponse:
    """Which process answers, and what its settings have: fingerprints, never a key."""
    return JsonResponse(
        {
            "worker": os.getpid(),
            "key": _fingerprint(settings.SECRET_KEY),
            "fallbacks": [_fingerprint(key) for key in settings.SECRET_KEY_FALLBACKS],
        }
    )


def _fingerprint(key: str) -> str:
    salt = os.environ["SITE_FINGERPRINTS"].encode()
    return hmac.new(salt, key.encode(), hashlib.sha256).hexdigest()


urlpatterns = [path("login", log_in), path("who", who), path("keys", keys)]
application = get_wsgi_application()
