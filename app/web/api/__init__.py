"""REST resources, their OpenAPI document, idempotent requests and webhook payloads."""
