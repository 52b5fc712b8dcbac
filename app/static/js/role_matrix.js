// The role matrix: colors each cell by its level, marks and counts changes.
const form = document.querySelector('[data-matrix]');
const counter = document.querySelector('[data-changed-count]');

function paint(select) {
  select.className = select.className.replace(/level-\S+/, `level-${select.value}`);
  (select.closest('td') || select.closest('.mask-row')).classList.toggle('is-changed', select.value !== select.dataset.level);
}
function count() {
  const changed = form.querySelectorAll('.is-changed').length;
  counter.hidden = !changed;
  counter.textContent = `● ${changed}`;
  form.dataset.dirty = changed ? '1' : '';
}
form?.addEventListener('change', (event) => { if (event.target.dataset.level !== undefined) { paint(event.target); count(); } });
form?.addEventListener('reset', () => setTimeout(() => { form.querySelectorAll('[data-level]').forEach(paint); count(); }));
form?.addEventListener('submit', () => { form.dataset.dirty = ''; });
addEventListener('beforeunload', (event) => { if (form?.dataset.dirty) event.preventDefault(); });
