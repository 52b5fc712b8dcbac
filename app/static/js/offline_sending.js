// Sends what was kept without a connection: one form at a time, with its key.
import { words } from './offline_state.js';

export const FAILED = { stop: true };
export async function send(entry, token) {
  const headers = { 'HX-Request': 'true', 'X-CSRFToken': token, 'Idempotency-Key': entry.key, 'X-Crm-Meant-For': words.user };
  let answer;
  try { answer = await fetch(entry.url, { method: 'POST', body: new URLSearchParams(entry.fields), headers, redirect: 'manual', credentials: 'same-origin' }); } catch { return FAILED; }
  if (answer.headers.get('X-Crm-Done')) return { isDone: true };
  if (answer.type === 'opaqueredirect' || answer.status === 401 || answer.status === 429 || answer.status >= 500) return FAILED;
  return { status: answer.status, sentence: await sentenceOf(answer) };
}
async function sentenceOf(answer) {
  const sent = answer.headers.get('X-Sentence');
  try { if (sent) return decodeURIComponent(sent); } catch { /* as it is */ }
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const found = [...page.querySelectorAll('.field-error, .problem p, .note.tone-red')].map((each) => each.textContent.trim()).filter(Boolean);
  return [...new Set(found)].join(' ') || words.refused;
}
