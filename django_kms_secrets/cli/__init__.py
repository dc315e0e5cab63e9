"""The command line: ``manage.py secrets`` and ``python -m django_kms_secrets``."""
