// The form of a WhatsApp message or SMS, in the inbox and on a record's page: a template's variables as fields and the text as it will be
// sent, a draft that is kept until it is sent, and the 24-hour window counted down.
const $ = (selector, within) => within.querySelector(selector);

// A template: its variables as fields, and the text as it will be sent.
function preview(write) {
  const chosen = $('[data-template]', write)?.selectedOptions[0];
  const shown = $('[data-preview]', write);
  if (!shown) return;
  const text = chosen?.dataset.body || '';
  shown.hidden = !text;
  shown.textContent = text.replace(/\{\{\s*(\w{1,40})\s*\}\}/g, (whole, name) => $(`[name="var.${CSS.escape(name)}"]`, write)?.value.trim() || whole);
}
function need(write) {
  const text = $('[data-text]', write);
  if (!text) return;
  const isTemplate = Boolean($('[data-template]', write)?.value);
  text.hidden = isTemplate;
  text.required = !isTemplate && !$('[name=file]', write);
}
function fields(write) {
  const chosen = $('[data-template]', write).selectedOptions[0];
  const box = $('[data-values]', write);
  const names = (chosen?.dataset.names || '').split(' ').filter(Boolean);
  box.replaceChildren(...names.map((name) => {
    const label = Object.assign(document.createElement('label'), { className: 'write-value' });
    const word = Object.assign(document.createElement('span'), { className: 'form-label', textContent: box.dataset.label.replace('{}', name.replaceAll('_', ' ')) });
    const field = Object.assign(document.createElement('input'), { className: 'form-control', name: `var.${name}`, maxLength: 300, required: true });
    label.append(word, field);
    return label;
  }));
  need(write);
  preview(write);
}

// What is typed survives a reload and a lost connection, until it is sent: the page that comes then says so, or a form with another key.
function keep(write, text) {
  const kept = `crm-draft:${write.getAttribute('action')}`;
  const store = (what) => { try { if (what) sessionStorage.setItem(kept, what); else sessionStorage.removeItem(kept); } catch { /* private mode */ } };
  let draft = '';
  try { draft = sessionStorage.getItem(kept) || ''; } catch { /* private mode */ }
  if (!text.value) text.value = draft;
  text.addEventListener('input', () => store(text.value));
  if (new URLSearchParams(location.search).has('sent')) { store(''); text.value = ''; history.replaceState(null, '', location.pathname + location.hash); }
  // Sent by htmx: the answer is an address to go to.
  write.addEventListener('htmx:beforeOnLoad', ({ detail }) => { if (detail.xhr.status === 204) store(''); });
}

// As times are written elsewhere: “5 h” in English, else as the language writes it.
function inUnit(number, unit) {
  const { lang } = document.documentElement;
  return unit === 'hour' && lang.startsWith('en') ? `${number} h` : new Intl.NumberFormat(lang, { numberingSystem: 'latn', style: 'unit', unit, unitDisplay: 'short' }).format(number);
}
function count(write) {
  const left = $('[data-window]', write);
  if (!left) return;
  const ends = Date.parse(left.dataset.window);
  const tick = () => {
    if (!left.isConnected) { clearInterval(timer); return; }
    const minutes = Math.floor((ends - Date.now()) / 60_000);
    if (minutes < 0) { left.textContent = left.dataset.over; return; }
    left.textContent = left.dataset.left.replace('{}', `${minutes >= 60 ? `${inUnit(Math.floor(minutes / 60), 'hour')} ` : ''}${inUnit(minutes % 60, 'minute')}`);
  };
  const timer = setInterval(tick, 20_000);
  tick();
}

// Returns the field of the text, if there is one.
export function arm(write) {
  if (write.dataset.armed) return null;
  write.dataset.armed = '1';
  const text = $('[data-text]', write);
  $('[data-template]', write)?.addEventListener('change', () => fields(write));
  write.addEventListener('input', () => preview(write));
  need(write);
  write.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); event.stopPropagation(); write.requestSubmit(); }
  });
  // A second click sends nothing twice; the server knows the form's key, too.
  write.addEventListener('submit', () => { const button = $('[type=submit]', write); setTimeout(() => { button.disabled = true; }); });
  const again = () => { const button = $('[type=submit]', write); if (text) button.disabled = false; };
  addEventListener('pageshow', again);
  for (const name of ['htmx:responseError', 'htmx:sendError']) write.addEventListener(name, again);
  if (text) keep(write, text);
  count(write);
  return text;
}
