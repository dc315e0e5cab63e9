"""The engine ``django_kms_secrets.db.postgresql``."""
