"""The same site, which makes ordinary strings of its secrets, in every way that people do."""

import base64
import os
from urllib.parse import quote

from site_settings import *  # noqa: F403
from site_settings import secrets


class Client:
    """An object that shows what it holds."""

    def __init__(self, token):
        self.token = token

    def __repr__(self):
        return f"<Client {self.token}>"


BROKER_URL = str(secrets["BROKER_URL"])
MONITOR = str(secrets["SENTRY_DSN"])
BANNER = str(secrets["BANNER"])
GREETING = f"hello {secrets['FORMATTED']}"
SUM = "begin" + secrets["ADDED"]
PEERS = ["peer", str(secrets["LISTED"])]
SERVICES = {"a": {"b": ({"c": str(secrets["MAPPED"])},)}}
FLAGS = {str(secrets["IN_A_SET"])}
BLOB = b"\0" + secrets["BLOB"].encode()
HEADERS = {"x": "Basic " + base64.b64encode(b"me:" + secrets["BASIC"].encode()).decode()}
CALLBACK = "https://site.example/?next=" + quote(secrets["QUOTED"])
DIGITS = secrets["HEXADECIMAL"].encode().hex()
CLIENT = Client(str(secrets["OBJECT"]))
PHRASE = str(secrets["PHRASE"])
PEM = str(secrets["PEM"])
AWKWARD = str(secrets["AWKWARD"])
UNICODE = str(secrets["UNICODE"])
CELERY_RESULT_BACKEND = str(secrets["CELERY_RESULT_BACKEND"])
EMAIL_URL = str(secrets["EMAIL_URL"])
CHANNEL_LAYERS = {"default": {"CONFIG": {"hosts": [str(secrets["CHANNELS"])]}}}
HAYSTACK_CONNECTIONS = {"default": {"URL": str(secrets["SEARCH"])}}
UPLOADS = {"default": {"OPTIONS": {"account": f"DefaultEndpoint={secrets['STORAGE']}"}}}
NOTIFY = [("ops", str(secrets["WEBHOOK"]))]
AWS_SECRET_ACCESS_KEY = str(secrets["AWS_SECRET_ACCESS_KEY"])
STRIPE_API_KEY = str(secrets["STRIPE_API_KEY"])
SOCIAL_AUTH_GOOGLE_OAUTH2_SECRET = str(secrets["SOCIAL_AUTH_GOOGLE_OAUTH2_SECRET"])
SIMPLE_JWT = {"ALGORITHM": "HS256", "SIGNING_KEY": str(secrets["SIGNING_KEY"])}
ROLLBAR = {"access_token": str(secrets["ROLLBAR_TOKEN"])}
os.environ["COPIED"] = secrets["ENVIRON"]
