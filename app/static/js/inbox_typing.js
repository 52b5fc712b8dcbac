// Who else is writing: said while keys are pressed, shown until nothing was heard for a few seconds. Nothing is stored.
const EVERY = 3000;
const SHOWN = 6000;
const line = document.querySelector('[data-typing]');
const text = document.querySelector('[data-write] [data-text]');
const writers = new Map();
let said = 0;

text?.addEventListener('input', () => {
  if (Date.now() - said < EVERY || !text.value.trim()) return;
  said = Date.now();
  dispatchEvent(new CustomEvent('crm:writes'));
});

function show() {
  const now = Date.now();
  for (const [user, writer] of writers) if (writer.until <= now) writers.delete(user);
  const names = [...writers.values()].map((each) => each.name);
  line.hidden = names.length === 0;
  if (names.length) line.textContent = (names.length > 1 ? line.dataset.typingMany : line.dataset.typing).replace('{}', new Intl.ListFormat(document.documentElement.lang || 'en').format(names));
}
if (line) {
  addEventListener('crm:typing', ({ detail }) => {
    writers.set(detail.user, { name: detail.name, until: Date.now() + SHOWN });
    show();
    setTimeout(show, SHOWN + 50);
  });
  // What they wrote has arrived: the line goes with it.
  addEventListener('crm:activity', () => { writers.clear(); show(); });
}
