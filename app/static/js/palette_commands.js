// What the palette offers of the page itself, from its menus: commands and pages.
import { target } from './palette_assign.js';

const words = document.getElementById('palette').dataset;
const $$ = (selector) => [...document.querySelectorAll(selector)];
const textOf = (element) => { const copy = element.cloneNode(true); copy.querySelectorAll('kbd, .count').forEach((each) => each.remove()); return copy.textContent.trim(); };
export const placeOf = (url) => document.querySelector(`#sidebar a[href^="${CSS.escape(url.split('/').slice(0, 2).join('/'))}/"]`); // its list, in the menu
export const iconOf = (element) => element?.querySelector('.icon')?.cloneNode(true);

const pageItem = (link) => ({ text: words.go.replace('{}', textOf(link)), url: link.getAttribute('href'), icon: iconOf(link) });
export function commands() {
  const withinSentence = (name) => (/^.\p{Lu}/u.test(name) ? name : name.charAt(0).toLowerCase() + name.slice(1));
  const made = $$('a[data-new]').map((link) => ({ text: words.newWord.replace('{}', withinSentence(textOf(link))), url: link.getAttribute('href'), icon: iconOf(link), isQuick: 'quickOpen' in link.dataset }));
  const own = $$('.person-menu > a.menu-item:not([lang])').map((link) => ({ text: textOf(link), url: link.getAttribute('href'), icon: iconOf(link) }));
  const theme = document.querySelector('[data-theme-choice] legend')?.textContent;
  const looks = $$('[data-theme-choice] button').map((button) => ({ text: `${theme}: ${button.title}`, act: () => button.click(), icon: iconOf(button) }));
  const rest = $$('.person-menu > button.menu-item, .person-menu form button').map((button) => ({ text: textOf(button), act: () => button.click(), icon: iconOf(button) }));
  const about = target(words);
  const assigning = about ? [{ text: words.assignAsk.replace('{}', about.name), typing: `${words.assignVerb} ` }] : [];
  return [...made, ...assigning, ...own, ...looks, ...rest];
}
export function pages() {
  const links = $$('#sidebar a.side-link');
  const boards = links.filter((link) => link.dataset.boardUrl).map((link) => ({ text: `${textOf(link)}: ${words.boardWord}`, url: link.dataset.boardUrl, icon: iconOf(link) }));
  return [...links.map(pageItem), ...boards];
}
/** Whether each typed word begins a word of the text. */
export function fits(text, typed) {
  const own = text.toLocaleLowerCase().split(/[\s:]+/);
  return typed.toLocaleLowerCase().split(/\s+/).every((word) => own.some((each) => each.startsWith(word)));
}
