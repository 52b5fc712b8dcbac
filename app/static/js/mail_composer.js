// The form of an email: its draft survives a reload and a failed send, and for some seconds after sending it can be taken back.
import { edit } from './mail_editor.js';
import { attach } from './mail_files.js';
import './template_picker.js';

const store = {
  get(key) { try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; } },
  set(key, value) { try { sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* private mode, or too large */ } },
  drop(key) { try { sessionStorage.removeItem(key); } catch { /* private mode */ } },
};
const FIELDS = ['to', 'to_other', 'cc_other', 'subject', 'account', 'status'];

// `more`: open (the function of mail_open.js), place (where the form stands), url (of a fresh form), isFocused.
export function start(form, more = {}) {
  const editor = edit(form);
  const html = form.elements.html;
  if ('mailSigning' in form.dataset) { form.addEventListener('submit', () => { html.value = editor.html(); }); return; }
  const words = JSON.parse(form.dataset.text);
  const error = form.querySelector('[data-mail-error]');
  const say = (text) => { error.hidden = !text; error.querySelector('span').textContent = text; if (text) error.scrollIntoView({ block: 'nearest' }); };
  const files = attach(form, words, say);
  const key = `crm-mail:${form.dataset.mail}`;

  // --- recipients: who chooses none of those that are offered types an address
  const to = form.querySelector('[data-mail-to]');
  const other = form.querySelector('[data-mail-other]');
  to?.addEventListener('change', () => { if (!to.value) other?.focus(); });

  // --- the draft
  const copies = () => [...form.querySelectorAll('[name=cc]:checked')].map((box) => box.value);
  const state = () => ({ ...Object.fromEntries(FIELDS.map((name) => [name, form.elements[name]?.value ?? ''])), cc: copies(), quote: form.elements.quote?.checked, html: editor.html(), files: files.state() });
  const first = JSON.stringify(state());
  function restore(draft) {
    for (const name of FIELDS) if (form.elements[name] && draft[name] !== undefined) form.elements[name].value = draft[name];
    form.querySelectorAll('[name=cc]').forEach((box) => { box.checked = draft.cc.includes(box.value); });
    if (draft.cc.length || draft.cc_other) form.querySelector('.mail-copies').open = true;
    if (form.elements.quote) form.elements.quote.checked = draft.quote;
    editor.set(draft.html);
    files.set(draft.files);
  }
  let soon = null;
  let isSent = false;
  const keep = () => { if (isSent) return; const now = state(); if (JSON.stringify(now) === first) store.drop(key); else store.set(key, now); };
  const later = () => { clearTimeout(soon); soon = setTimeout(keep, 300); };
  for (const name of ['input', 'change']) form.addEventListener(name, later);
  editor.editor.addEventListener('input', later);
  addEventListener('pagehide', keep);
  const draft = store.get(key);
  if (draft) { restore(draft); offerDiscard(); }
  function offerDiscard() {
    const note = Object.assign(document.createElement('p'), { className: 'mail-note quiet small', textContent: `${words.restored} ` });
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'btn btn-small btn-quiet', textContent: words.discard });
    button.addEventListener('click', () => { restore(JSON.parse(first)); store.drop(key); note.remove(); });
    note.append(button);
    error.before(note);
  }

  form.querySelector('[data-mail-signature]')?.addEventListener('change', ({ target }) => editor.sign(target.selectedOptions[0].dataset.html));
  editor.editor.addEventListener('pasteImage', ({ detail }) => files.add([...detail.clipboardData.files]));
  form.querySelector('[data-mail-close]')?.addEventListener('click', (event) => {
    if (!more.place) return;
    event.preventDefault();
    keep();
    isSent = true;
    if (more.place.dataset.mailPlace) fresh(); else { more.place.replaceChildren(); more.place.hidden = true; }
  });
  async function fresh() {
    await more.open(more.place?.dataset.mailPlace || more.url || location.href, more.place, { isFocused: false }).catch(() => location.reload());
  }

  // --- sending
  const button = form.querySelector('[type=submit]');
  form.addEventListener('keydown', (event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); form.requestSubmit(); } });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    say('');
    await files.ready();
    html.value = editor.text() || files.state().length ? editor.html() : '';
    form.elements.body.value = '';
    keep();
    try {
      const answer = await fetch(form.action, { method: 'POST', body: new FormData(form), credentials: 'same-origin', headers: { Accept: 'application/json' } });
      const said = await answer.json();
      if (answer.ok) left(said, state()); else say(said.message);
    } catch { say(words.lost); }
    button.disabled = false;
  });

  // --- some seconds to take it back
  function left(said, now) {
    isSent = true;
    store.drop(key);
    const bar = Object.assign(document.createElement('div'), { className: 'mail-sent' });
    bar.setAttribute('role', 'status');
    const text = Object.assign(document.createElement('span'), { textContent: said.message });
    const undo = Object.assign(document.createElement('button'), { type: 'button', className: 'btn btn-small', textContent: words.undo });
    bar.append(text, undo);
    form.hidden = true;
    form.after(bar);
    undo.focus();
    const gone = setTimeout(() => {
      undo.remove();
      text.textContent = words.sent;
      if (!more.place) location.assign(said.url);
      else if (more.place.dataset.mailPlace) fresh();
      else setTimeout(() => { more.place.replaceChildren(); more.place.hidden = true; }, 2_500);
    }, said.seconds * 1000);
    undo.addEventListener('click', async () => {
      clearTimeout(gone);
      const body = new FormData();
      body.set('csrf_token', form.elements.csrf_token.value);
      try {
        const answer = await fetch(said.undo_url, { method: 'POST', body, credentials: 'same-origin', headers: { Accept: 'application/json' } });
        const told = await answer.json();
        if (!answer.ok) { text.textContent = told.message; undo.remove(); return; }
        bar.remove();
        form.hidden = false;
        isSent = false;
        form.elements.key.value = crypto.randomUUID?.().replaceAll('-', '') || String(Math.random()).slice(2); // a new email, not the canceled one
        restore(now);
        keep();
        say('');
        editor.focus();
      } catch { text.textContent = words.lost; }
    });
  }
  if (more.isFocused !== false) { if (to && !to.value && other) other.focus(); else if (!form.elements.subject.value) form.elements.subject.focus(); else editor.focus(); }
}
