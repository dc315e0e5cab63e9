"""The engine ``django_kms_secrets.db.mysql``, for MySQL and MariaDB."""
