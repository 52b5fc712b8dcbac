// The report builder and the schedules of a report show only what matters for what was chosen; columns are put in order by dragging.
const form = document.querySelector('[data-report-form]');
function show() {
  for (const pair of form.querySelectorAll('[data-group]')) {
    const [column, unit] = pair.querySelectorAll('select');
    unit.hidden = !pair.dataset.dates.split(' ').includes(column.value);
  }
  for (const pair of form.querySelectorAll('[data-figure]')) {
    const [of, column] = pair.querySelectorAll('select');
    column.hidden = ['', 'count'].includes(of.value);
  }
  const isGrouped = Boolean(form.elements.group1?.value);
  const columns = form.querySelector('[data-columns]');
  if (!columns) return;
  columns.querySelector('[data-when-grouped]').hidden = !isGrouped;
  columns.querySelectorAll('details').forEach((each) => { each.hidden = isGrouped; });
  form.elements.chart.disabled = !isGrouped;
}
if (form) {
  show();
  form.addEventListener('change', show);
  if (window.Sortable) {
    form.querySelectorAll('[data-sortable]').forEach((place) => {
      new window.Sortable(place, { animation: 0, onEnd: () => form.dispatchEvent(new CustomEvent('crm:changed')) });
    });
  }
}

const schedule = document.querySelector('[data-schedule-form]');
function showDay() {
  for (const field of schedule.querySelectorAll('[data-rhythm]')) {
    field.hidden = field.dataset.rhythm !== schedule.elements.rhythm.value;
    field.querySelector('select, input').disabled = field.hidden; // what is hidden isn't checked by the browser, nor sent
  }
}
if (schedule) {
  showDay();
  schedule.elements.rhythm.addEventListener('change', showDay);
}
