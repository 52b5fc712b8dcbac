// Who else has this record open, beside its name, and who is editing which value of it.
const GRACE = 1500; // who goes from one page of ours to another is not gone
let people = [], timer = null;
const place = () => document.querySelector('[data-presence]');

function face({ name, initials, tone, picture }) {
  if (picture) {
    const drawn = Object.assign(document.createElement('img'), { className: `avatar-round tone-${tone}`, src: picture, alt: '', title: name });
    drawn.dataset.initials = initials || '?';
    return drawn;
  }
  const made = Object.assign(document.createElement('span'), { className: `avatar-round tone-${tone}`, textContent: initials || '?', title: name });
  made.setAttribute('aria-hidden', 'true');
  return made;
}
function draw() {
  const box = place();
  if (!box) return;
  const words = Object.assign(document.createElement('span'), { className: 'here-words', textContent: box.dataset.words.replace('%(names)s', people.map((each) => each.name).join(', ')) });
  box.replaceChildren(...(people.length ? [...people.slice(0, 3).map(face), words] : []));
  box.hidden = !people.length;
  document.querySelectorAll('.here-edits').forEach((each) => each.remove());
  people.filter((each) => each.field).forEach((each) => {
    const value = document.querySelector(`:is([data-side], [data-texts]) [data-pair="${CSS.escape(each.field)}"] dd`);
    value?.append(Object.assign(document.createElement('span'), { className: 'here-edits', textContent: box.dataset.edits.replace('%(name)s', each.name) }));
  });
}
addEventListener('crm:presence', (event) => {
  const news = event.detail.people;
  const isLess = people.some((each) => !news.some((other) => other.id === each.id));
  clearTimeout(timer);
  timer = setTimeout(() => { people = news; draw(); }, isLess ? GRACE : 0);
});
