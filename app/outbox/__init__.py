"""Deliveries to the outside: `delivery_engine` delivers; `notice_delivery`, `webhook_delivery` and so on say what."""
