// What was typed without a connection, kept in this browser until it is sent. A classic script: pages have it, and the service worker as its first part.
// An entry: {id, key, user, url, fields: [[name, value]], label, at, tried, state: waiting | refused | unsure, sentence, hadFiles};
// tried: when it may have reached the server first, null where there was no network at all.
self.crmOutbox = (() => {
  const STORE = 'entries';
  const opened = () => new Promise((done, failed) => {
    const asked = indexedDB.open('crm-outbox', 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: 'id', autoIncrement: true });
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => failed(asked.error);
  });
  async function run(mode, act) {
    const base = await opened();
    try {
      return await new Promise((done, failed) => {
        const change = base.transaction(STORE, mode);
        const asked = act(change.objectStore(STORE));
        change.oncomplete = () => done(asked.result);
        change.onabort = () => failed(change.error);
      });
    } finally { base.close(); }
  }
  return {
    add: (entry) => run('readwrite', (store) => store.add(entry)),
    put: (entry) => run('readwrite', (store) => store.put(entry)),
    remove: (id) => run('readwrite', (store) => store.delete(id)),
    // Of one person, in the order of typing; what somebody else has typed here stays unseen.
    all: async (user) => (await run('readonly', (store) => store.getAll())).filter((each) => String(each.user) === String(user)),
  };
})();
