// What scripts draw: an icon of the sprite that the page has, and a text with its one gap filled in.
export function icon(name) {
  const made = document.querySelector('.icon use').closest('svg').cloneNode(true);
  const use = made.querySelector('use');
  use.setAttribute('href', use.getAttribute('href').replace(/#.*/, `#${name}`));
  made.setAttribute('class', 'icon');
  return made;
}
export const fill = (text, value) => text.replace('{}', value);
/** An element with these properties, and what is in it. */
export function made(tag, more, ...inside) {
  const item = Object.assign(document.createElement(tag), more);
  item.append(...inside);
  return item;
}
