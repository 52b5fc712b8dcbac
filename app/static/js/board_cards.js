// The columns and cards of a board on the page.
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
export const board = () => document.querySelector('[data-board]');
export const columnOf = (card) => card.closest('[data-column]');
export const cardsOf = (column) => column.querySelector('[data-cards]');
export const cards = (column) => $$('[data-card]', column);
// Moves on their way: nothing is redrawn meanwhile.
export const moves = { underway: 0 };

export function recount(column, by) {
  const place = column.querySelector('[data-column-count]');
  const now = Number(place.textContent.replace(/[^0-9]/g, ''));
  if (!place.textContent.includes('+')) place.textContent = (now + by).toLocaleString('en-IN');
  column.classList.toggle('is-empty', !cards(column).length);
}
export function announce(text) { const place = document.querySelector('[data-board-said]'); if (place) place.textContent = text; }
export const nameOf = (column) => column.querySelector('.state-label').textContent;
export const titleOf = (card) => card.querySelector('.card-title').textContent;
export function focus(card) { card?.querySelector('.card-title').focus(); card?.scrollIntoView({ block: 'nearest', inline: 'nearest' }); }
