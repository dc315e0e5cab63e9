"""A page in the admin that lists the secrets, without their values."""
