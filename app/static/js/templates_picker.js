// Message templates with “/”: typed at the start of a word it offers those of the channel, filled in by the server for the person of the record.
// A field says data-templates="email|whatsapp|sms|note" and data-templates-about="lead:5|conversation:7"; it may be a textarea or an editor.
if (!window.crmTemplates) { // pages and forms may load this module under two addresses
  window.crmTemplates = true;
  const LEADING = /(?:^|\s)\/([^\s/]{0,40})$/u;
  const WAIT = 120;
  let field = null;
  let list = null;
  let asked = 0;
  let timer = null;

  const options = () => [...(list?.querySelectorAll('[role=option]') || [])];
  const current = () => list?.querySelector('[aria-selected=true]');
  const isArea = (each) => each.matches('textarea');
  function before(each) {
    if (isArea(each)) return each.value.slice(0, each.selectionStart);
    const at = getSelection();
    return at.rangeCount && each.contains(at.anchorNode) && at.anchorNode.nodeType === Node.TEXT_NODE ? at.anchorNode.data.slice(0, at.anchorOffset) : '';
  }
  function close() {
    clearTimeout(timer);
    asked += 1;
    list?.remove();
    field?.removeAttribute('aria-controls');
    field?.removeAttribute('aria-activedescendant');
    list = field = null;
  }
  function select(option) {
    options().forEach((each) => each.setAttribute('aria-selected', String(each === option)));
    field.setAttribute('aria-activedescendant', option.id);
    option.scrollIntoView({ block: 'nearest' });
    const hit = option.hit;
    list.querySelector('.pick-preview').textContent = hit.preview;
    const missing = list.querySelector('.pick-missing');
    missing.textContent = hit.missing_text;
    missing.hidden = !hit.missing.length;
  }
  function line(hit, at) {
    const made = Object.assign(document.createElement('li'), { id: `template-${at}`, className: 'pick-option', hit });
    made.setAttribute('role', 'option');
    const name = Object.assign(document.createElement('span'), { textContent: hit.label });
    const language = Object.assign(document.createElement('span'), { className: 'quiet', textContent: hit.language_name });
    made.append(name, language);
    return made;
  }
  function open(each, hits) {
    close();
    if (!hits.length) return;
    field = each;
    list = Object.assign(document.createElement('div'), { className: 'pick-list' });
    const rows = Object.assign(document.createElement('ul'), { id: 'template-list', className: 'pick-rows' });
    rows.setAttribute('role', 'listbox');
    rows.setAttribute('aria-label', '/');
    rows.append(...hits.map(line));
    list.append(rows, Object.assign(document.createElement('p'), { className: 'pick-missing tone-ink tone-orange small' }), Object.assign(document.createElement('p'), { className: 'pick-preview' }));
    each.insertAdjacentElement('afterend', list);
    each.setAttribute('aria-controls', rows.id);
    select(options()[0]);
    place(each);
  }
  // Below the text cursor of an editor, below a textarea; above them where there is no room.
  function place(each) {
    const range = isArea(each) || !getSelection().rangeCount ? null : getSelection().getRangeAt(0).getBoundingClientRect();
    const at = range?.height ? range : each.getBoundingClientRect();
    const { height, width } = list.getBoundingClientRect();
    const below = at.bottom + 4;
    list.style.top = `${below + height <= innerHeight ? below : Math.max(4, at.top - height - 4)}px`;
    list.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
  }
  addEventListener('scroll', (event) => { if (list && !list.contains(event.target)) close(); }, true);
  async function ask(each, typed) {
    const mine = (asked += 1);
    const query = new URLSearchParams({ channel: each.dataset.templates, about: each.dataset.templatesAbout || '', q: typed });
    try {
      const answer = await fetch(`/templates/offer?${query}`, { headers: { Accept: 'application/json' }, credentials: 'same-origin' });
      if (!answer.ok || mine !== asked) return;
      const { results } = await answer.json();
      if (mine === asked && LEADING.exec(before(each))?.[1] === typed) open(each, results);
    } catch { /* offline: the text can still be typed */ }
  }
  document.addEventListener('input', ({ target }) => {
    const each = target.closest?.('[data-templates]');
    if (!each) return;
    const typed = LEADING.exec(before(each))?.[1];
    clearTimeout(timer);
    if (typed === undefined) close(); else timer = setTimeout(ask, WAIT, each, typed);
  });

  // --- taking one: a form that sends templates as such gets it chosen, with its values; any other field gets the text
  function choose(option) {
    const each = field;
    const hit = option.hit;
    const length = LEADING.exec(before(each))[1].length + 1;
    close();
    const form = each.closest('form');
    const chooser = form?.querySelector('select[data-template]');
    if (chooser && isArea(each) && [...chooser.options].some((one) => one.value === String(hit.id))) {
      each.setRangeText('', each.selectionStart - length, each.selectionStart, 'end');
      chooser.value = String(hit.id);
      chooser.dispatchEvent(new Event('change', { bubbles: true }));
      for (const [name, value] of Object.entries(hit.values)) { const input = form.querySelector(`[name="var.${CSS.escape(name)}"]`); if (input) input.value = value; }
      form.dispatchEvent(new Event('input', { bubbles: true }));
      (form.querySelector('[name^="var."]:placeholder-shown, [name^="var."]') || form.querySelector('[type=submit]'))?.focus();
      return;
    }
    if (isArea(each)) each.setRangeText(hit.preview, each.selectionStart - length, each.selectionStart, 'end');
    else {
      const { anchorNode, anchorOffset } = getSelection();
      const range = document.createRange();
      range.setStart(anchorNode, anchorOffset - length);
      range.setEnd(anchorNode, anchorOffset);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      each.dispatchEvent(new CustomEvent('crm:template', { detail: { text: hit.preview } }));
    }
    const subject = form?.elements.subject;
    if (hit.subject && subject && !subject.value.trim()) subject.value = hit.subject;
    if (hit.missing.length) dispatchEvent(new CustomEvent('crm:toast', { detail: { text: hit.missing_text } }));
    each.focus();
    each.dispatchEvent(new Event('input', { bubbles: true }));
  }
  document.addEventListener('keydown', (event) => {
    if (!list || !field?.contains(event.target) || event.ctrlKey || event.metaKey) return;
    const all = options();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) select(all[(all.indexOf(current()) + step + all.length) % all.length]);
    else if (event.key === 'Enter' || event.key === 'Tab') choose(current());
    else if (event.key === 'Escape') close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener('mousedown', (event) => {
    const option = event.target.closest?.('.pick-option');
    if (option) { event.preventDefault(); choose(option); } else if (list && !list.contains(event.target) && !field?.contains(event.target)) close();
  });
  document.addEventListener('focusout', (event) => { if (field && event.target === field) close(); });
}
