// Files of a record: chosen, dropped or pasted; sent two at a time with progress and cancel; shown large; fresh for everybody.
// Without this file the plain form sends them.
import './file_viewer.js';
import { fill, icon, made } from './markup.js';

const panel = () => document.querySelector('[data-files][data-url]:not(.write-files)');
const AT_ONCE = 2;
const waiting = [];
let running = 0;

// --- the list again: after uploads, and when somebody else has changed it
let again = null;
let isAsking = false;
let isLate = false;
let posting = 0; // forms of the list on their way: their answers replace it, and would find no place in another list
async function refresh(isOwn) {
  const now = panel();
  clearTimeout(again);
  if (running || waiting.length || !now) return; // the end of the last upload does it
  if (!isOwn && now.querySelector('details[open]')) { again = setTimeout(refresh, 2000); return; } // not while somebody reads
  // One question at a time: the answer to the first replaces the list, and the second one's would find no place.
  if (isAsking || posting) { isLate = true; return; }
  isAsking = true;
  try { await window.htmx?.ajax('GET', now.dataset.url, { source: now, target: now, swap: 'outerHTML' }); } catch { /* offline.js says so */ }
  isAsking = false;
  catchUp();
}
function catchUp() {
  if (isLate && !isAsking && !posting) { isLate = false; refresh(true); }
}
const isPost = ({ requestConfig, target }) => requestConfig?.verb.toLowerCase() === 'post' && target?.matches?.('[data-files]:not(.write-files)');
document.addEventListener('htmx:beforeSend', ({ detail }) => { if (isPost(detail)) posting += 1; });
document.addEventListener('htmx:afterRequest', ({ detail }) => { if (isPost(detail)) { posting = Math.max(0, posting - 1); catchUp(); } });
// What is on its way outlives a new list; what was refused stays, with its reason, until somebody has read it.
const shown = new Set();
// And so does “deleted – undo”, of which one's own page hears, too.
let said = null;
document.addEventListener('htmx:beforeSwap', ({ detail }) => {
  if (posting && isAsking && detail.requestConfig?.verb.toLowerCase() === 'get' && detail.target === panel()) {
    detail.shouldSwap = false;
    isLate = true;
    return;
  }
  if (!detail.shouldSwap) return; // the list stays as it is, while somebody uses it
  said = detail.requestConfig?.verb.toLowerCase() === 'get' && detail.target === panel() ? detail.target.querySelector('.files-said') : null;
  said?.remove(); // now, so that its buttons outlive the list
});
document.addEventListener('htmx:afterSwap', () => {
  panel()?.querySelector('[data-uploads]')?.append(...[...shown].filter((item) => !item.isConnected));
  if (said) panel()?.prepend(said);
  said = null;
});
addEventListener('crm:activity', () => setTimeout(refresh, 250));

// --- one file on its way
function row(file, name) {
  const bar = made('progress', { max: 100, value: 0 });
  bar.setAttribute('aria-label', name);
  const item = made('li', { className: 'file-row is-busy' }, made('span', { className: 'file-face' }, icon('file')),
    made('div', { className: 'file-words' }, made('span', { className: 'clip strong', textContent: name, title: name }), bar, made('span', { className: 'small', hidden: true })));
  const stop = made('button', { type: 'button', className: 'btn-bare btn-tiny', title: panel().dataset.cancel }, icon('x'));
  stop.setAttribute('aria-label', `${panel().dataset.cancel} ${name}`);
  item.append(made('div', { className: 'file-acts' }, stop));
  panel().querySelector('[data-uploads]').append(item);
  shown.add(item);
  return { item, bar, stop };
}
function refuse(item, sentence) {
  item.classList.replace('is-busy', 'is-refused');
  item.classList.add('tone-red');
  item.querySelector('progress')?.remove();
  const why = item.querySelector('.small');
  Object.assign(why, { hidden: false, textContent: sentence });
  why.setAttribute('role', 'alert');
}
function next() {
  while (running < AT_ONCE && waiting.length) { running += 1; waiting.shift()(); }
  if (!running && !waiting.length) refresh(true);
}
function send(url, file, name) {
  const { dataset } = panel();
  const { item, bar, stop } = row(file, name);
  const gone = () => { item.remove(); shown.delete(item); };
  stop.addEventListener('click', gone);
  if (file.size > Number(dataset.mostBytes)) { refuse(item, fill(dataset.tooLarge, name)); return; }
  const request = new XMLHttpRequest();
  let isOver = false;
  const over = () => { if (!isOver) { isOver = true; running -= 1; next(); } };
  const go = () => {
    const body = new FormData();
    body.append('files', file, name);
    request.open('POST', url);
    request.setRequestHeader('X-CSRFToken', document.querySelector('meta[name="csrf-token"]').content);
    request.setRequestHeader('Accept', 'application/json');
    request.upload.addEventListener('progress', (event) => { if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total; });
    request.addEventListener('load', () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { /* a page of a proxy */ }
      if (request.status === 200 || request.status === 201) gone(); else refuse(item, told.message || fill(dataset.broken, name));
      over();
    });
    request.addEventListener('error', () => { refuse(item, fill(dataset.broken, name)); over(); });
    request.addEventListener('abort', over);
    request.send(body);
  };
  stop.addEventListener('click', () => {
    const at = waiting.indexOf(go);
    if (at >= 0) { waiting.splice(at, 1); next(); } else request.abort();
  });
  waiting.push(go);
}
// A picture of the clipboard is always called image.png: it gets a name by which it can be found.
function nameOf(file, isPasted) {
  if (file.name && !(isPasted && /^image\.\w+$/.test(file.name))) return file.name;
  const now = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000).toISOString().slice(0, 19).replace('T', ' ').replaceAll(':', '.');
  return `${panel().dataset.picture} ${now}.${file.type.split('/')[1] || 'png'}`;
}
function take(files, url, isPasted = false) {
  [...files].forEach((file) => send(url, file, nameOf(file, isPasted)));
  document.querySelector('.files-part')?.classList.add('is-open'); // also while another tab is shown
  panel().querySelector('[data-uploads]').scrollIntoView({ block: 'nearest' });
  next();
}

document.addEventListener('change', (event) => {
  const form = event.target.type === 'file' && event.target.closest('[data-add-files]');
  if (!form) return;
  take([...event.target.files], form.action);
  event.target.value = '';
});
// The files that go with a note are named on the button
document.addEventListener('change', ({ target }) => {
  if (target.matches('[data-chosen]') && target.files.length) target.closest('label').querySelector('.clip').textContent = [...target.files].map((file) => file.name).join(', ').slice(0, 60);
});
const canAdd = () => panel()?.querySelector('.files-add');
const has = (event) => canAdd() && [...(event.dataTransfer?.types || [])].includes('Files') && !event.target.closest?.('[data-write], [data-mail-place] form');
document.addEventListener('dragover', (event) => { if (has(event)) { event.preventDefault(); document.body.classList.add('is-drop'); } });
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) document.body.classList.remove('is-drop'); });
document.addEventListener('drop', (event) => {
  if (!has(event)) return;
  event.preventDefault();
  document.body.classList.remove('is-drop');
  take(event.dataTransfer.files, panel().dataset.url);
});
document.addEventListener('paste', (event) => {
  const files = event.clipboardData?.files;
  if (!files?.length || event.defaultPrevented || !canAdd()) return;
  event.preventDefault();
  take(files, panel().dataset.url, true);
});
