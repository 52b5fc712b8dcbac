// Files of an answer: chosen, dropped or pasted; uploaded one by one with progress; removed before sending.
// Without this file the plain field sends them with the form.
import { fill, icon } from './markup.js';

function shown(bytes) { return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.max(1, Math.round(bytes / 1000))} kB`; }
export function armFiles(form) {
  const list = form.querySelector('[data-files]');
  function settle() {
    const isBusy = Boolean(list.querySelector('.is-busy'));
    const text = form.querySelector('[data-text]');
    if (text && !text.hidden) text.required = !list.querySelector('[name=file]');
    form.querySelector('[type=submit]').disabled = isBusy;
  }

  function remover(item, stop) {
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'btn-bare btn-tiny', title: list.dataset.remove });
    button.setAttribute('aria-label', `${list.dataset.remove} ${item.querySelector('.clip').textContent}`);
    button.append(icon('x'));
    button.addEventListener('click', () => { stop?.(); item.remove(); settle(); form.querySelector('[data-text]')?.focus(); });
    return button;
  }
  function row(name, size) {
    const item = Object.assign(document.createElement('li'), { className: 'write-file is-busy' });
    const label = Object.assign(document.createElement('span'), { className: 'clip', textContent: name, title: name });
    const more = Object.assign(document.createElement('span'), { className: 'quiet small', textContent: size });
    const bar = Object.assign(document.createElement('progress'), { max: 100, value: 0 });
    bar.setAttribute('aria-label', name);
    item.append(icon('file'), label, more, bar);
    list.append(item);
    return item;
  }
  function refuse(item, sentence) {
    item.classList.remove('is-busy');
    item.classList.add('is-refused', 'tone-red');
    item.querySelector('progress')?.remove();
    item.querySelector('.small').textContent = sentence;
    item.setAttribute('role', 'alert');
    settle();
  }
  function answered(item, request) {
    let told = {};
    try { told = JSON.parse(request.responseText); } catch { /* a page of a proxy */ }
    if (request.status !== 201) { refuse(item, told.message || fill(list.dataset.broken, item.querySelector('.clip').textContent)); return; }
    item.classList.remove('is-busy');
    item.querySelector('progress').remove();
    item.querySelector('.icon').replaceWith(icon(told.icon));
    item.querySelector('.clip').textContent = told.name;
    item.querySelector('.small').textContent = told.size;
    item.prepend(Object.assign(document.createElement('input'), { type: 'hidden', name: 'file', value: told.token }));
    settle();
  }
  function upload(file) {
    const item = row(file.name || 'picture.png', shown(file.size));
    if (list.querySelectorAll('.write-file:not(.is-refused)').length > Number(list.dataset.most)) { item.append(remover(item)); refuse(item, list.dataset.tooMany); return; }
    if (file.size > Number(list.dataset.mostBytes)) { item.append(remover(item)); refuse(item, fill(list.dataset.tooLarge, file.name)); return; }
    const request = new XMLHttpRequest();
    const body = new FormData();
    body.append('files', file, file.name || 'picture.png');
    request.open('POST', list.dataset.url);
    request.setRequestHeader('X-CSRFToken', document.querySelector('meta[name="csrf-token"]').content);
    request.setRequestHeader('Accept', 'application/json');
    request.upload.addEventListener('progress', (event) => { const bar = item.querySelector('progress'); if (bar && event.lengthComputable) bar.value = (100 * event.loaded) / event.total; });
    request.addEventListener('load', () => answered(item, request));
    request.addEventListener('error', () => refuse(item, fill(list.dataset.broken, file.name)));
    item.append(remover(item, () => request.abort()));
    settle();
    request.send(body);
  }
  const take = (files) => [...files].forEach(upload);

  if (!list || list.dataset.armed) return;
  list.dataset.armed = '1';
  for (const each of list.querySelectorAll('.write-file')) {
    const box = each.querySelector('[name=file]');
    each.prepend(Object.assign(document.createElement('input'), { type: 'hidden', name: 'file', value: box.value }));
    box.remove();
    each.append(remover(each));
  }
  const field = form.querySelector('[data-choose]');
  field?.addEventListener('change', () => { take(field.files); field.value = ''; });
  form.addEventListener('paste', (event) => {
    const files = event.clipboardData?.files;
    if (files?.length) { event.preventDefault(); take(files); }
  });
  const zone = form.closest('[data-compose-part]') || document.querySelector('#thread');
  const has = (event) => [...(event.dataTransfer?.types || [])].includes('Files');
  zone.addEventListener('dragover', (event) => { if (has(event)) { event.preventDefault(); zone.classList.add('is-drop'); } });
  zone.addEventListener('dragleave', (event) => { if (!zone.contains(event.relatedTarget)) zone.classList.remove('is-drop'); });
  zone.addEventListener('drop', (event) => { if (has(event)) { event.preventDefault(); zone.classList.remove('is-drop'); take(event.dataTransfer.files); } });
  form.querySelector('[data-template]')?.addEventListener('change', () => setTimeout(settle));
  settle();
}

for (const each of document.querySelectorAll('[data-write]')) armFiles(each);
