// Updates SLA clocks while the page is open; texts and thresholds come from app/web/records/sla_fields.py.
const TICK = 30_000;
const page = document.querySelector('script[data-clocks]').dataset;
// The clock of the browser may be wrong, so use the server's.
const skew = Date.now() - Date.parse(page.clocks);
const TONES = ['tone-green', 'tone-amber', 'tone-red'];

function span(seconds) {
  const minutes = Math.max(1, seconds > 0 ? Math.ceil(seconds / 60) : Math.floor(-seconds / 60));
  if (minutes < 60) return page.min.replace('0', minutes);
  if (minutes > 60 && minutes < 120) return page.hm.replace('0', minutes - 60);
  const inDays = seconds > 0 && minutes >= 2880;
  return inDays ? page.d.replace('0', Math.floor(minutes / 1440)) : page.h.replace('0', Math.floor(minutes / 60));
}
function tick() {
  const now = Date.now() - skew;
  for (const clock of document.querySelectorAll('[data-clock]')) {
    const { clock: due, warn, words = '' } = clock.dataset;
    const left = (Date.parse(due) - now) / 1000;
    const way = left > 0 ? 'Ahead' : 'Late';
    const text = page[words ? words + way : way.toLowerCase()].replace('{time}', span(left));
    if (clock.textContent !== text) clock.textContent = text;
    const tone = left <= 0 ? 'tone-red' : Date.parse(warn) <= now ? 'tone-amber' : 'tone-green';
    if (!clock.classList.contains(tone)) { clock.classList.remove(...TONES); clock.classList.add(tone); }
  }
}
setInterval(tick, TICK);
document.addEventListener('visibilitychange', () => { if (!document.hidden) tick(); });
