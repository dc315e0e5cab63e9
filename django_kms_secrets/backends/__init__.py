"""The stores: where secrets live."""
