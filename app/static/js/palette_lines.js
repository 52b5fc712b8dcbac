// The entries of the palette's list.
function line(item, id) {
  const made = document.createElement(item.url ? 'a' : 'button');
  if (item.url) made.href = item.url; else made.type = 'button';
  if (item.url && !item.url.startsWith('/')) Object.assign(made, { target: '_blank', rel: 'noopener' });
  Object.assign(made, { id, className: 'palette-item', tabIndex: -1, item });
  made.setAttribute('role', 'option');
  made.setAttribute('aria-selected', 'false');
  const text = Object.assign(document.createElement('span'), { className: 'palette-text', textContent: item.text });
  made.append(...(item.icon ? [item.icon.cloneNode(true)] : []), text);
  if (item.hint) made.append(Object.assign(document.createElement('span'), { className: 'palette-hint', textContent: item.hint }));
  return made;
}
export function group({ title, items }, at) {
  const box = document.createElement('div');
  box.setAttribute('role', 'group');
  box.setAttribute('aria-label', title);
  const head = Object.assign(document.createElement('div'), { className: 'palette-group', textContent: title });
  head.setAttribute('aria-hidden', 'true');
  box.append(head, ...items.map((item, n) => line(item, `palette-${at}-${n}`)));
  return box;
}
