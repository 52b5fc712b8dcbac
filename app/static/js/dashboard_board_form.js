// Arranging a board: cards are dragged, moved and removed on the spot. Without scripts, every button sends the form back.
const form = document.querySelector('[data-arrange]');
const list = form.querySelector('[data-cards]');
const cards = () => [...list.querySelectorAll('[data-card]')];
const nameOf = (card) => card.querySelector('[data-name]').textContent;
let isChanged = false;

function tell(card) {
  const all = cards();
  const words = { name: nameOf(card), place: all.indexOf(card) + 1, count: all.length };
  form.querySelector('[data-said]').textContent = form.dataset.moved.replace(/\{(\w+)\}/g, (_all, key) => words[key]);
}
function number() {
  isChanged = true;
  cards().forEach((card, place) => card.querySelectorAll('[data-do]').forEach((button) => { button.value = `${button.dataset.do}:${place}`; }));
}

form.addEventListener('click', (event) => {
  const button = event.target.closest('[data-do]');
  if (!button) return;
  event.preventDefault();
  const card = button.closest('[data-card]');
  const next = button.dataset.do === 'up' ? card.previousElementSibling : card.nextElementSibling;
  if (button.dataset.do === 'remove') {
    const other = (card.nextElementSibling || card.previousElementSibling)?.querySelector('[data-do=remove]');
    card.remove();
    (other || form.querySelector('[name=add]')).focus();
  } else if (next) {
    if (button.dataset.do === 'up') next.before(card); else next.after(card);
    button.focus();
    tell(card);
  }
  number();
});
form.addEventListener('change', (event) => {
  isChanged = true;
  if (event.target.matches('[data-size]')) {
    const card = event.target.closest('[data-card]');
    card.className = card.className.replace(/dash-w\d+/, `dash-w${event.target.value}`);
  }
  if (event.target.matches('[data-look]')) form.requestSubmit(form.querySelector('[data-looked]'));
});

if (window.Sortable) {
  list.querySelectorAll('[data-grip]').forEach((grip) => { grip.hidden = false; });
  window.Sortable.create(list, { handle: '[data-grip]', animation: 120, ghostClass: 'arrange-ghost', chosenClass: 'is-lifted', onEnd: ({ item }) => { number(); tell(item); } });
}
// Leaving loses what was arranged; the buttons of the form do not.
form.addEventListener('submit', () => { isChanged = false; });
window.addEventListener('beforeunload', (event) => { if (isChanged) event.preventDefault(); });
