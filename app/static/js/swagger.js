// The API's pages: Swagger UI (FAB's own copy) on the description of this server.
const place = document.getElementById('swagger-ui');
window.SwaggerUIBundle({
  url: place.dataset.openapi,
  dom_id: '#swagger-ui',
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
  validatorUrl: null,
});
