// What the modules for work without a connection share.
export const root = document.documentElement;
export const box = document.querySelector('[data-offline]');
export const words = box.dataset;
export const store = self.crmOutbox;
export const worker = 'serviceWorker' in navigator ? navigator.serviceWorker : null;
export const toast = (text) => dispatchEvent(new CustomEvent('crm:toast', { detail: { text } }));
export const newKey = () => crypto.randomUUID?.() || `${Date.now()}-${Math.random()}`; // without HTTPS there is no randomUUID
export const tell = (message) => worker?.controller?.postMessage(message);
export function moment(time) {
  const made = new Date(time);
  const isToday = made.toDateString() === new Date().toDateString();
  return new Intl.DateTimeFormat(root.lang.replace(/^en$/, 'en-IN'), isToday ? { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', numberingSystem: 'latn' } : { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23', numberingSystem: 'latn' }).format(made);
}

// --- who is signed in now; null without a connection
export async function ask() {
  try {
    const answer = await fetch('/offline/state', { headers: { Accept: 'application/json' }, credentials: 'same-origin', cache: 'no-store' });
    return answer.ok ? await answer.json() : null;
  } catch { return null; }
}
