// The palette's command "assign …": to a colleague goes the record of this page, or the selected rows of this list. The form that is sent is
// that of the page or of the list's bar, so that the server decides, says what it refuses, and offers to undo.
const token = () => document.querySelector('meta[name="csrf-token"]')?.content || '';

/** What would be assigned: {name, url, fields}; null if there is nothing that this person may assign here. */
export function target(words) {
  const bar = document.querySelector('[data-bulk]:has([data-dialog="bulk-assign"])');
  const chosen = bar ? [...document.querySelectorAll('[data-list] [name="rowid"]:checked')] : [];
  if (chosen.length) {
    const fields = [['action', 'assign'], ['back', bar.elements.back.value], ...chosen.map((box) => ['rowid', box.value])];
    return { name: words.assignRows.replace('{}', chosen.length), url: bar.getAttribute('action'), fields };
  }
  const link = document.querySelector('[data-record] [data-assign]');
  if (!link) return null;
  return { name: link.dataset.assign, url: link.getAttribute('href'), fields: [['how', 'person'], ['was', link.dataset.assignFrom]] };
}

/** The name after "assign" or "assign to", in the language of the page or in English; null if something else was typed. */
export function nameIn(typed, words) {
  const text = typed.toLocaleLowerCase();
  const verb = [words.assignVerb.toLocaleLowerCase(), 'assign'].find((each) => text.startsWith(`${each} `));
  return verb === undefined ? null : typed.slice(verb.length).trim().replace(/^to(\s+|$)/i, '');
}

/** The colleagues of this name as items of the palette. Throws if the server can't be reached. */
export async function colleagues(name, about, words, signal) {
  const answer = await fetch(`/people/lookup?${new URLSearchParams({ q: name, assigns: about.url.split('/')[1] })}`, { headers: { Accept: 'application/json' }, credentials: 'same-origin', signal });
  if (!answer.ok) return [];
  const { results } = await answer.json();
  const text = words.assignTo.replace('{what}', about.name);
  return results.slice(0, 8).map(({ value, label, hint }) => ({ text: text.replace('{name}', label), hint, act: () => assign(about, value) }));
}

function assign({ url, fields }, user) {
  const form = Object.assign(document.createElement('form'), { method: 'post', action: url, hidden: true });
  for (const [name, value] of [['csrf_token', token()], ...fields, ['assignee', user]]) form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
  document.body.append(form);
  form.requestSubmit();
}

/** What is to be assigned, and the typed name, where "assign …" is typed. */
export function assignment(typed, words) {
  const name = nameIn(typed, words);
  const about = name ? target(words) : null;
  return about && { about, name };
}
