// The editor of an email: Squire, which makes plain, clean HTML; its buttons, links, and the signature in the text.
import Squire from '../vendor/squire.js';

const KEPT = new Set('A B STRONG I EM U S UL OL LI BLOCKQUOTE P DIV BR PRE CODE H1 H2 H3 HR'.split(' '));
const DROPPED = new Set('SCRIPT STYLE TITLE HEAD IFRAME OBJECT SVG MATH TEMPLATE NOSCRIPT'.split(' '));
const SAFE = /^(?:https?:|mailto:|tel:)/i;

// What is pasted or restored: only these elements, and of attributes the address of a link. The server cleans once more.
export function cleaned(html) {
  const source = new DOMParser().parseFromString(html, 'text/html').body; // runs nothing, loads nothing
  const copy = (from, into) => from.childNodes.forEach((node) => {
    if (node.nodeType === Node.TEXT_NODE) into.append(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE || DROPPED.has(node.tagName)) return;
    const made = KEPT.has(node.tagName) ? document.createElement(node.tagName) : into;
    if (node.tagName === 'A' && SAFE.test(node.getAttribute('href') || '')) made.href = node.getAttribute('href');
    if (node.hasAttribute('data-signature') && made !== into) made.dataset.signature = '';
    copy(node, made);
    if (made !== into) into.append(made);
  });
  const fragment = document.createDocumentFragment();
  copy(source, fragment);
  return fragment;
}

const FORMATS = {
  bold: { has: (e) => e.hasFormat('B'), on: (e) => e.bold(), off: (e) => e.removeBold() },
  italic: { has: (e) => e.hasFormat('I'), on: (e) => e.italic(), off: (e) => e.removeItalic() },
  bullets: { has: (e) => e.hasFormat('UL'), on: (e) => e.makeUnorderedList(), off: (e) => e.removeList() },
  numbers: { has: (e) => e.hasFormat('OL'), on: (e) => e.makeOrderedList(), off: (e) => e.removeList() },
  quote: { has: (e) => e.hasFormat('BLOCKQUOTE'), on: (e) => e.increaseQuoteLevel(), off: (e) => e.decreaseQuoteLevel() },
  link: { has: (e) => e.hasFormat('A'), off: (e) => e.removeLink() },
  plain: { has: () => false, on: (e) => e.removeAllFormatting() },
};

export function edit(form) {
  const root = form.querySelector('[data-mail-editor]');
  const plain = form.querySelector('[data-mail-plain]');
  const tools = form.querySelector('[data-mail-tools]');
  const linking = form.querySelector('[data-mail-link]');
  const editor = new Squire(root, { blockTag: 'DIV', sanitizeToDOMFragment: cleaned });
  root.setAttribute('role', 'textbox');
  root.setAttribute('aria-multiline', 'true');
  root.hidden = tools.hidden = false;
  plain.hidden = true;

  // --- buttons
  const show = () => tools.querySelectorAll('[data-format]').forEach((button) => button.setAttribute('aria-pressed', String(FORMATS[button.dataset.format].has(editor))));
  editor.addEventListener('pathChange', show);
  tools.addEventListener('mousedown', (event) => event.preventDefault()); // the selection stays
  tools.addEventListener('click', (event) => {
    const button = event.target.closest('[data-format]');
    if (!button) return;
    const format = FORMATS[button.dataset.format];
    if (format.has(editor) && format.off) format.off(editor);
    else if (format.on) format.on(editor);
    else { linking.hidden = !linking.hidden; if (!linking.hidden) linking.querySelector('input').focus(); }
    show();
  });

  // --- a link: on the selected words, else with its address as the words
  const link = () => {
    const field = linking.querySelector('input');
    const typed = field.value.trim();
    const address = SAFE.test(typed) ? typed : typed.includes('@') ? `mailto:${typed}` : `https://${typed}`;
    linking.hidden = true;
    field.value = '';
    editor.focus();
    if (typed) editor.makeLink(address, {});
  };
  linking.querySelector('[data-mail-link-set]').addEventListener('click', link);
  linking.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') { event.preventDefault(); event.stopPropagation(); link(); }
    if (event.key === 'Escape') { event.preventDefault(); event.stopPropagation(); linking.hidden = true; editor.focus(); }
  });
  editor.setHTML(form.querySelector('[data-html]').innerHTML || '<div><br></div>');

  // --- a template, with its lines
  root.addEventListener('crm:template', ({ detail }) => {
    const lines = detail.text.split('\n').map((text) => Object.assign(document.createElement('i'), { textContent: text }).innerHTML);
    editor.insertHTML(lines.join('<br>'), false);
  });

  // --- the signature: the part of the text that is marked, else the end of it
  function sign(html) {
    let part = root.querySelector('[data-signature]');
    if (!part) {
      part = Object.assign(document.createElement('div'));
      part.dataset.signature = '';
      root.append(part);
    }
    part.replaceChildren(cleaned(html));
    if (!html) part.remove();
    root.dispatchEvent(new Event('input', { bubbles: true }));
  }
  return {
    root,
    editor,
    sign,
    html: () => editor.getHTML(),
    set: (html) => editor.setHTML(html),
    text: () => root.innerText.trim(),
    focus() { editor.moveCursorToStart(); editor.focus(); },
  };
}
