// Emails: opens the form of one in its place where a link asks for it, and loads the editor then, not before; fits the frame of one that is read.
const STYLE = '/static/css/mail.css';

function styled() {
  if (document.querySelector(`link[href^="${STYLE}"]`)) return Promise.resolve();
  return new Promise((done) => {
    const link = Object.assign(document.createElement('link'), { rel: 'stylesheet', href: STYLE, onload: done, onerror: done });
    document.head.append(link);
  });
}
async function arm(form, more = {}) {
  if (form.dataset.armed) return;
  form.dataset.armed = '1';
  const { start } = await import(form.dataset.script);
  start(form, { ...more, open });
}
async function open(url, place, more = {}) {
  const address = new URL(url, location.href);
  address.searchParams.set('part', '1');
  const answer = await fetch(address, { credentials: 'same-origin', headers: { 'HX-Request': 'true' } });
  if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
  const [text] = await Promise.all([answer.text(), styled()]);
  place.innerHTML = text;
  place.hidden = false;
  await arm(place.querySelector('[data-mail]'), { ...more, place, url, isFocused: more.isFocused ?? true });
}

for (const form of document.querySelectorAll('[data-mail], [data-mail-signing]')) {
  const place = form.closest('[data-mail-place]');
  const more = place ? { place, url: place.dataset.mailPlace } : {};
  // In a conversation the editor is loaded when somebody begins to write.
  if (place) form.addEventListener('focusin', () => arm(form, more), { once: true }); else arm(form, more);
}
document.addEventListener('click', async (event) => {
  const link = event.target.closest?.('[data-mail-open]');
  const place = document.querySelector('[data-mail-place]');
  if (!link || !place || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    await open(link.href, place);
    place.scrollIntoView({ block: 'nearest' });
  } catch { location.assign(link.href); }
});

// --- reading: the frame runs no scripts, so the page gives it its height
for (const frame of document.querySelectorAll('[data-mail-frame]')) {
  const fit = () => {
    const page = frame.contentDocument;
    if (!page?.body) return;
    frame.style.height = `${page.documentElement.scrollHeight + 4}px`;
    page.querySelectorAll('img').forEach((picture) => { if (!picture.complete) picture.addEventListener('load', fit, { once: true }); });
  };
  frame.addEventListener('load', fit);
  addEventListener('resize', fit);
  fit();
}
