"""Database engines that read the password anew when it was rotated."""
