"""Make the database: its tables, and people with a password. Their number is the argument."""

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")

if __name__ == "__main__":
    django.setup()

    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for number in range(int(sys.argv[1])):
        User.objects.create_user(f"user-{number}", password=os.environ["SITE_PASSWORD"])
