// The panel of what waits to be sent: edited, sent again, discarded.
import { box, moment, newKey, store, words } from './offline_state.js';

export const opener = box.querySelector('[data-outbox-open]');
const dialog = document.getElementById('outbox');
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('crm-outbox') : null;

const $ = (html) => { const made = document.createElement('template'); made.innerHTML = html; return made.content.firstElementChild; };
const TEXTS = ['body', 'note', 'title', 'other']; // what a person may have typed most of
const textOf = (entry) => entry.fields.find(([name, value]) => TEXTS.includes(name) && value);
function draw(entry) {
  const row = dialog.querySelector('template').content.firstElementChild.cloneNode(true);
  const text = textOf(entry);
  row.dataset.id = entry.id;
  row.querySelector('[data-of=label]').textContent = entry.label || entry.url;
  row.querySelector('[data-of=when]').textContent = moment(entry.at);
  row.querySelector('[data-of=text]').textContent = text?.[1] || '';
  const note = row.querySelector('[data-of=note]');
  note.textContent = [entry.sentence || (entry.state === 'unsure' ? words.unsure : ''), entry.hadFiles ? words.files : ''].filter(Boolean).join(' ');
  note.hidden = !note.textContent;
  row.querySelector('[data-do=edit]').hidden = !text;
  row.querySelector('[data-do=again]').hidden = entry.state === 'waiting';
  return row;
}
export async function redraw() {
  let entries = [];
  try { entries = await store.all(words.user); } catch { return; } // private mode
  opener.hidden = !entries.length;
  opener.querySelector('span').textContent = words.waiting.replace('{}', entries.length);
  opener.classList.toggle('is-refused', entries.some((each) => each.state !== 'waiting'));
  const list = dialog.querySelector('[data-outbox-list]');
  if (!list.querySelector('textarea')) list.replaceChildren(...entries.map(draw)); // not while one is edited
  if (!entries.length && dialog.open) dialog.close();
}
export function changed() { redraw(); channel?.postMessage('changed'); }
export async function open() {
  await redraw();
  if (!dialog.open && !document.querySelector('dialog[open]') && !opener.hidden) dialog.showModal();
}
async function edit(row, entry) {
  const [name, value] = textOf(entry);
  const area = $('<textarea class="form-control" rows="3"></textarea>');
  area.value = value;
  area.setAttribute('aria-label', row.querySelector('[data-of=label]').textContent);
  row.querySelector('[data-of=text]').replaceChildren(area);
  area.focus();
  row.querySelector('[data-do=edit]').hidden = true;
  row.querySelector('[data-do=again]').hidden = false;
  row.crmEdited = () => entry.fields.map(([each, old]) => [each, each === name && old === value ? area.value : old]);
}
dialog.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-do]');
  if (!button) return;
  const row = button.closest('[data-id]');
  const entry = row && (await store.all(words.user)).find((each) => String(each.id) === row.dataset.id);
  if (!entry) { redraw(); return; }
  if (button.dataset.do === 'edit') { edit(row, entry); return; }
  const fields = row.crmEdited?.();
  row.querySelector('textarea')?.remove();
  if (button.dataset.do === 'discard') await store.remove(entry.id);
  // Something else than before has a key of its own.
  else await store.put({ ...entry, fields: fields || entry.fields, key: fields ? newKey() : entry.key, tried: fields || entry.state === 'unsure' ? null : entry.tried, state: 'waiting', sentence: '' });
  changed();
  if (button.dataset.do === 'again') dispatchEvent(new Event('crm:send-kept'));
});
opener.addEventListener('click', open);
if (channel) channel.onmessage = redraw;
