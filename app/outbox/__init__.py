"""Deliveries to the outside: `engine` delivers, `notice_delivery`, `webhook_delivery` and others declare what."""
