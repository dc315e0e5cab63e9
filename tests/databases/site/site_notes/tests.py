"""What ``manage.py test --parallel`` runs, in clones of a test database."""

import os
import re

from django.db import connection
from django.test import TransactionTestCase

from django_kms_secrets.config import read_config

from .models import Note


class First(TransactionTestCase):
    def test_the_engine_is_ours_and_the_database_a_clone(self):
        Note.objects.create(text="first")
        assert Note.objects.count() == 1
        assert re.search(r"^test_notes_[12]$", connection.settings_dict["NAME"])
        assert connection.settings_dict["ENGINE"] == os.environ["SITE_ENGINE"]

    async def test_async(self):
        await Note.objects.acreate(text="async")
        assert await Note.objects.acount() == 1
        assert [note.text async for note in Note.objects.all()] == ["async"]


class Second(TransactionTestCase):
    def test_a_rotation(self):
        """The role changes its own password; this process, the other one and the parent go on."""
        with read_config(os.environ["KMS_SECRETS_URL"]).make_store() as store:
            store.put("DATABASE", os.environ["SITE_NEW_URL"])
        with connection.cursor() as cursor:
            cursor.execute(os.environ["SITE_CHANGE_PASSWORD"])
        connection.close()
        Note.objects.create(text="second")
        assert Note.objects.count() == 1
        assert connection.settings_dict["SECRET"].working is not None
        print("rotated")
