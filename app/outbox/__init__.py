"""What is sent to the outside: `engine` delivers, `notice_delivery` and `webhook_delivery` declare what."""
