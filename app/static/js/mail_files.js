// Files of an email: chosen, dropped or pasted; each is stored at once, and the form names it by a token.
const size = (bytes) => (bytes < 1000 ? `${bytes} B` : bytes < 1_000_000 ? `${Math.round(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`);

export function attach(form, words, say) {
  const list = form.querySelector('[data-mail-files]');
  const pick = form.querySelector('[data-mail-pick]');
  const pending = new Set();
  const changed = () => list.dispatchEvent(new Event('change', { bubbles: true }));

  function line({ name, bytes, token }) {
    const made = document.createElement('li');
    made.className = 'mail-file';
    made.dataset.size = bytes;
    const label = Object.assign(document.createElement('span'), { className: 'clip', textContent: name });
    const about = Object.assign(document.createElement('span'), { className: 'quiet small', textContent: size(bytes) });
    made.append(label, about);
    if (token) finish(made, token, name);
    list.append(made);
    return made;
  }
  function finish(made, token, name) {
    made.classList.remove('is-loading');
    made.prepend(Object.assign(document.createElement('input'), { type: 'hidden', name: 'file', value: token }));
    made.append(remover(made, name));
  }
  function remover(made, name) {
    const button = Object.assign(document.createElement('button'), { type: 'button', className: 'btn-bare btn-tiny', textContent: '×' });
    button.setAttribute('aria-label', words.remove.replace('{}', name));
    button.addEventListener('click', () => { made.remove(); changed(); });
    return button;
  }
  const total = () => [...list.children].reduce((sum, each) => sum + Number(each.dataset.size || 0), 0);

  async function upload(file) {
    if (file.size > Number(form.dataset.most) || total() + file.size > Number(form.dataset.total)) { say(words.large.replace('{}', file.name)); return; }
    const made = line({ name: file.name, bytes: file.size });
    made.classList.add('is-loading');
    const body = new FormData();
    body.set('csrf_token', form.querySelector('[name=csrf_token]').value);
    body.set('files', file, file.name);
    try {
      const answer = await fetch(form.dataset.upload, { method: 'POST', body, credentials: 'same-origin', headers: { Accept: 'application/json' } });
      const said = await answer.json();
      if (!answer.ok) throw Object.assign(new Error(said.message), { isSaid: true });
      made.querySelector('.clip').textContent = said.name;
      finish(made, said.token, said.name);
    } catch (error) {
      made.remove();
      say(error.isSaid ? error.message : words.lost);
    }
    changed();
  }
  function add(files) {
    for (const file of files) {
      const done = upload(file).finally(() => pending.delete(done));
      pending.add(done);
    }
  }
  // Those that the page came with are checkboxes, for browsers without scripts.
  for (const box of list.querySelectorAll('input[type=checkbox]')) {
    const made = box.closest('.mail-file');
    const name = made.querySelector('.clip').textContent;
    const token = box.value;
    box.remove();
    finish(made, token, name);
  }
  pick.addEventListener('change', () => { add([...pick.files]); pick.value = ''; });
  let over = 0;
  const mark = (step) => { over = Math.max(0, over + step); form.classList.toggle('is-over', over > 0); };
  const brings = (event) => event.dataTransfer?.types?.includes('Files');
  form.addEventListener('dragenter', (event) => { if (brings(event)) mark(1); });
  form.addEventListener('dragleave', (event) => { if (brings(event)) mark(-1); });
  form.addEventListener('dragover', (event) => { if (brings(event)) event.preventDefault(); });
  form.addEventListener('drop', (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    event.stopPropagation();
    over = 0;
    mark(0);
    add([...event.dataTransfer.files]);
  }, true);
  return {
    add,
    ready: () => Promise.allSettled([...pending]),
    state: () => [...list.children].filter((each) => each.querySelector('[name=file]')).map((each) => ({ name: each.querySelector('.clip').textContent, bytes: Number(each.dataset.size), token: each.querySelector('[name=file]').value })),
    set(files) { list.replaceChildren(); files.forEach(line); },
  };
}
