"""`create_demo_user NAME --password-stdin`: an ordinary user to try the site with."""

import getpass
import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Make the user, or give an existing one this password. Running it twice changes nothing.

    The password is never an argument or a variable: other users of the machine can read those.
    """

    help = "Make an ordinary user (not staff), or set the password of the one there is."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--password-stdin",
            action="store_true",
            help="read the password from the first line of standard input (default: ask)",
        )

    def handle(self, *, username: str, password_stdin: bool, **options: Any) -> None:
        user = self._find_or_begin(username)
        password = sys.stdin.readline().rstrip("\r\n") if password_stdin else getpass.getpass()
        is_new = user.pk is None
        if not is_new and user.check_password(password):
            self.stdout.write(f"{username}: nothing to do")
            return
        self._check("password", validate_password, password, user)
        user.set_password(password)
        user.save()
        self.stdout.write(f"{username}: {'created' if is_new else 'password changed'}")

    def _find_or_begin(self, username: str) -> Any:
        """Return the user of that name, or a new one that is not saved yet."""
        users = get_user_model()
        user = users.objects.filter(username=username).first()
        if user is None:
            user = users(username=username)
            self._check("username", user.clean_fields, ["password"])
        elif user.is_staff or user.is_superuser:
            raise CommandError(f"{username} is staff: use `changepassword` for that account.")
        return user

    @staticmethod
    def _check(what: str, check: Any, *args: Any) -> None:
        """Run a validator; its complaint becomes a command's error."""
        try:
            check(*args)
        except ValidationError as error:
            raise CommandError(f"{what}: {' '.join(error.messages)}") from None
