// Message templates with “/”: typed at the start of a word it offers those of the channel, filled in by the server for the person of the record.
// A field says data-templates="email|whatsapp|sms|note" and data-templates-about="lead:5|conversation:7"; it may be a textarea or an editor.
import { offerList } from './suggestions.js';

const isArea = (each) => each.matches('textarea');

function before(each) {
  if (isArea(each)) return each.value.slice(0, each.selectionStart);
  const at = getSelection();
  return at.rangeCount && each.contains(at.anchorNode) && at.anchorNode.nodeType === Node.TEXT_NODE ? at.anchorNode.data.slice(0, at.anchorOffset) : '';
}

// Below the text cursor of an editor, below a textarea; above them where there is no room.
function placed(each, list) {
  const range = isArea(each) || !getSelection().rangeCount ? null : getSelection().getRangeAt(0).getBoundingClientRect();
  const at = range?.height ? range : each.getBoundingClientRect();
  const { height, width } = list.getBoundingClientRect();
  const below = at.bottom + 4;
  list.style.top = `${below + height <= innerHeight ? below : Math.max(4, at.top - height - 4)}px`;
  list.style.left = `${Math.max(8, Math.min(at.left, innerWidth - width - 8))}px`;
}

// The rows, what is missing for the chosen one, and how it will read.
function around(rows) {
  const list = Object.assign(document.createElement('div'), { className: 'pick-list' });
  list.append(rows, Object.assign(document.createElement('p'), { className: 'pick-missing tone-ink tone-orange small' }), Object.assign(document.createElement('p'), { className: 'pick-preview' }));
  return list;
}
function selected(hit, list) {
  list.querySelector('.pick-preview').textContent = hit.preview;
  const missing = list.querySelector('.pick-missing');
  missing.textContent = hit.missing_text;
  missing.hidden = !hit.missing.length;
}

// A form that sends templates as such gets it chosen, with its values; any other field gets the text.
function choose(each, hit, typed) {
  const length = typed.length + 1;
  const form = each.closest('form');
  const chooser = form?.querySelector('select[data-template]');
  if (chooser && isArea(each) && [...chooser.options].some((one) => one.value === String(hit.id))) {
    each.setRangeText('', each.selectionStart - length, each.selectionStart, 'end');
    chooser.value = String(hit.id);
    chooser.dispatchEvent(new Event('change', { bubbles: true }));
    for (const [name, value] of Object.entries(hit.values)) { const input = form.querySelector(`[name="var.${CSS.escape(name)}"]`); if (input) input.value = value; }
    form.dispatchEvent(new Event('input', { bubbles: true }));
    return form.querySelector('[name^="var."]:placeholder-shown, [name^="var."]') || form.querySelector('[type=submit]');
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
  return each;
}

if (!window.crmTemplates) { // pages and forms may load this module under two addresses
  window.crmTemplates = true;
  offerList({
    name: 'template',
    rows: 'pick-rows',
    option: 'pick-option',
    leading: /(?:^|\s)\/([^\s/]{0,40})$/u,
    fieldOf: (target) => target.closest?.('[data-templates]') || null,
    before,
    label: () => '/',
    url: (each, typed) => `/templates/offer?${new URLSearchParams({ channel: each.dataset.templates, about: each.dataset.templatesAbout || '', q: typed })}`,
    parts: (hit) => [
      Object.assign(document.createElement('span'), { textContent: hit.label }),
      Object.assign(document.createElement('span'), { className: 'quiet', textContent: hit.language_name }),
    ],
    around,
    selected,
    placed,
    choose,
  });
}
