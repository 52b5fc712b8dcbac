// The part of the service worker that keeps forms which nobody has answered, in the store that it shares with the pages.
const FORMS = new RegExp(GIVEN.forms);
const labels = new Map(); // key of a form -> {label, user}, told by its page

// A form that is sent by leaving the page: kept if nobody answers.
async function form(event) {
  const { request } = event;
  const copy = request.clone();
  let response = null;
  try { response = await fetch(request); } catch { /* no connection */ }
  if (response && !AWAY.includes(response.status)) return response;
  const data = [...await copy.formData()];
  const fields = data.filter(([name, value]) => typeof value === 'string' && !['once', 'csrf_token'].includes(name));
  const key = data.find(([name]) => name === 'once')?.[1];
  const told = labels.get(key) || {};
  const user = told.user || (await meta()).person;
  if (!user) return response || saysNothing();
  const { pathname, search } = new URL(request.url);
  await self.crmOutbox.add({
    key: key || crypto.randomUUID(), user, url: pathname + search, fields, label: told.label || '', at: Date.now(), tried: navigator.onLine ? Date.now() : null,
    state: key ? 'waiting' : 'unsure', sentence: '', hadFiles: data.some(([, value]) => typeof value !== 'string' && value.size > 0),
  });
  new BroadcastChannel('crm-outbox').postMessage('changed');
  return Response.redirect(new URL(request.referrer || '/', location.origin).href, 303);
}
// Any other form: its page stays as it is, with all that was typed, and says so.
async function stay(event) {
  try { return await fetch(event.request); } catch {
    (await self.clients.get(event.clientId))?.postMessage({ kind: 'not-sent' });
    return new Response(null, { status: 204 });
  }
}
